"""Networks: loading them, listing their layers, capturing activations, naming what determines them."""
