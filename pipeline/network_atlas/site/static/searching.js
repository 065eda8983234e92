// Read before the page is drawn: where the address holds a search or an order, what it hides or moves is not drawn first, and no picture is read
// that will not be seen. The page's own script takes the mark away.
"use strict";
document.documentElement.classList.toggle("searching", /[#&](find|verdict|sort|from|to)=./.test(location.hash));
