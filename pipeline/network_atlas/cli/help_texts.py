"""The texts of `atlas --help`: what each command does, and examples to copy."""

from __future__ import annotations

DESCRIPTION = "Make an atlas of a whole vision network: every channel of every layer, in pictures and numbers."

SUMMARIES = {
    "run": "make an atlas, or resume one",
    "plan": "show what a run would make and cost; change nothing",
    "doctor": "check everything that a run needs; say how to fix each fault",
    "layers": "list a model's layers: names, types, shapes, channels",
    "prior": "train the models of natural images that a run would take; make no pictures",
    "watch": "run for each new checkpoint, and compare",
    "status": "show how far an atlas is",
    "view": "look at an atlas in the browser",
    "diff": "say what changed between two snapshots, or two atlases",
    "sheet": "put pictures of an atlas side by side in one PNG, or on the pages of a PDF",
    "snapshots": "list the snapshots of an atlas, and what each changed",
    "prune": "remove old snapshots, with the files that nothing else uses",
}
"""The commands, in the order of the help, each with what it does."""

ARGUMENTS = {
    "overrides": "Hydra overrides, such as model=torchvision model.name=resnet50 sweep=all store.root=my-atlas",
    "config_dir": "a folder with configuration groups of your own",
    "multirun": "run every combination of comma-separated values",
    "root": "the atlas: a folder, or a URI such as s3://bucket/atlas (default: the only atlas below ./atlases)",
    "all": "also list the layers that have no channels of their own, and whose they have",
    "json": "print JSON, for other programs",
    "id": "print only a name for the run's results, for schedulers",
    "action": "train, the only thing to do with them",
    "pattern": "checkpoints to watch for: a path, a URI or a pattern in quotes, such as 'runs/exp1/*.ckpt'",
    "once": "work off what is there now, and end (for cron); otherwise until stopped",
    "interval": "seconds between two looks (default: 60)",
    "marker": "a checkpoint is complete when a file of its name and this ENDING is there, such as .done; "
    "otherwise when its size and time are the same at two looks",
    "every": "take every checkpoint, oldest first (default: the newest one; those before it are passed over)",
    "tries": "runs that a checkpoint may fail before it is left alone (default: 3)",
    "copies": "folder for copies of the checkpoints, the last two of which are kept (default: ROOT.checkpoints)",
    "drift_over": "it counts as drift if a measure of atlas diff is above this number (may be given several times)",
    "on_success": "run this in a shell after each snapshot, with a JSON object on its standard input",
    "on_failure": "the same after each run that failed",
    "on_drift": "the same if a measure is above what --fail-over allows",
    "webhook": "send the same object to this address by POST, for all three",
    "snapshot": "this snapshot instead of the newest one; `atlas snapshots` lists them",
    "verify": "read every file of the snapshot, and compare it with its checksum",
    "keep": "number of snapshots to keep: the newest ones",
    "yes": "remove; without it, only say what would be removed",
    "port": "port to serve on (default: 8642 or the next free one; 0: any free one)",
    "no_browser": "only print the address",
    "layer": "only this layer (may be given several times)",
    "units": "units of each layer, at most (default: 12)",
    "size": "side of a picture (default: 160)",
    "output": "file to write, a .png or a .pdf (default: sheet.png)",
    "old": "the old atlas, or one of its snapshots: ROOT@2 (default: the only atlas below ./atlases)",
    "new": "the new one (default: the newest snapshot of OLD, which is compared with the one before)",
    "out": "folder or URI to write to (default: NEW.diff/<old>-<new>, beside the newer root)",
    "cross": "also run both networks, each on the other's pictures: needs the checkpoints of both",
    "fail_over": "end with exit code 4 if a measure is above this number (may be given several times)",
}

EXAMPLES = {
    "": """\
examples:
  atlas run                                      the demo: EfficientNet-Lite0, photos from pip, five layers
  atlas plan sweep=all                           what a whole-network run would make, and cost
  atlas run model=torchvision model.name=resnet50 dataset=folder dataset.root=photos/ sweep=all
  atlas status atlases/efficientnet_lite0        how far a run is
  atlas view atlases/efficientnet_lite0          look at it in the browser

Each command has its own help: atlas run --help""",
    "run": """\
examples:
  atlas run
  atlas run sweep=select 'sweep.select.0.include=["_blocks.1?"]' store.root=late-blocks
  atlas run model=torchvision model.name=resnet18 model.weights=checkpoint.pth dataset=folder dataset.root=photos/
  atlas run -m model=torchvision model.name=resnet18,resnet50     one atlas each

The groups (model, dataset, sweep, scan, optimize, assemble, executor, store) and their choices are the folders and
files of conf/, each with comments. If a run was stopped or killed, the same command resumes it.

exit codes: 0 done, 1 an error (the message says how to fix it), 2 wrong usage, 3 done except for pictures that could
not be made, 75 stopped (the same command resumes)""",
    "plan": """\
examples:
  atlas plan sweep=all
  atlas plan model=torchvision model.name=vgg16 model.weights=none sweep=main_layers
  atlas plan sweep=all executor.price_per_hour=0.9 --json

Takes the same overrides as atlas run. Changes nothing. Times come from earlier tasks in this root; if there are none, a
few steps of the model are timed on this machine. --id prints a name that is the same for the same results under the
same root, so that a scheduler can refuse a second job for them. --json prints an object for each configuration:
  format             1; later versions add fields and rename none
  root, model, examples
  dataset_notices    sentences about files that the listing of the dataset left out
  passed_over        layers that a glob matched but that can't be captured, with the reason
  layers             [{layer, type, shape, channels, pictures, done, state, reason, changed}]; state is 'reused',
                     'new' or 'recomputed', against the newest snapshot; changed names parameters, buffers and modules
                     (with '()') up to the layer
  stages             [{name, unit, total, reused, tasks, worker_seconds, longest_task_seconds, source}]
  forward_passes     work left, in passes of one image through the whole network; a step counts as three
  bytes_written      bytes that the missing results add to the root
  naming_seconds     of assemble's seconds, those for names and clarity of all channels of the layers
  naturalness_seconds  of calibrate's seconds, those of the denoiser that says how natural pictures look
  compiled           sentences about devices on which it was measured whether compiled steps pay (model.compile)
  price_per_hour     executor.price_per_hour, or null
  workers            [{workers, seconds, seconds_at_most, price}] for 1, 8, 64 and executor.workers; timed on a busy
                     machine, seconds may be up to seconds_at_most""",
    "doctor": """\
examples:
  atlas doctor
  atlas doctor executor=ray executor.address=10.0.0.7:6379 store.root=s3://bucket/atlas

Takes the same overrides as atlas run, and checks everything that this run needs: versions, device, threads, cluster,
store, model, frozen, repeatable, dataset, plan, space. Each line says ok, or names the fault and its fix; the exit
code is 1 if any line is not ok. Two lines are always ok: 'frozen' says whether the network runs in merged passes
(model.frozen), 'repeatable' whether an image's numbers depend on the others in its batch.
A small file is written under the root and removed. --json prints {format, ok, checks: [{name, ok, says}]}.""",
    "layers": """\
examples:
  atlas layers
  atlas layers model=torchvision model.name=resnet50 model.weights=none
  atlas layers --all                             also those that only pass on, rescale or clip the channels of others

sweep.select.N.include and exclude match these names, and sweep.select.N.types these types. A module that runs more than
once in a forward pass is a layer for each of its calls, numbered in their order; '#' needs quotes inside the shell's:
  atlas plan model=torchvision model.name=resnet18 sweep=select 'sweep.select.0.include=["layer1.0.relu#2"]'""",
    "prior": """\
examples:
  atlas prior train optimize/prior=denoiser dataset=folder dataset.root=photos/
  atlas prior train optimize=patches priors.patches.components=100
  atlas prior train optimize=generator store.root=atlases/faces

Takes the overrides of atlas run, and does its stage `prior` alone. From them follows which models the recipes take
(optimize/prior=denoiser with weights=trained, the penalty patches, the parameterization generator), and how these are
trained (priors.*). Each is kept in the root under a key of the dataset and the settings; atlas run finds it there. The
same command goes on from the last checkpoint if it was stopped; what is there is not trained again. It prints how well
each fits: psnr_db of the denoiser at noise 25 of 255, on images that it has not seen.

exit codes: 0 done, 1 an error, 2 wrong usage, 75 stopped (the same command resumes)""",
    "watch": """\
examples:
  atlas watch 'runs/exp1/*.ckpt' model=torchvision model.name=resnet18 dataset=folder dataset.root=photos/
  atlas watch 's3://bucket/runs/*.pt' --marker .done --on-failure 'mail -s atlas me@example.org' sweep=all
  atlas watch 'runs/exp1/*.ckpt' --once sweep=all           from cron

Takes the overrides of atlas run, without model.weights: each run gets a copy of the checkpoint, named by its content.
One run at a time. A file that is still written waits. A checkpoint that can't be read, or whose run fails, is tried
--tries times and then left alone until its content changes; the snapshot before stays the newest one. What was done
is in ROOT/logs/watch.jsonl, an object a line, and is what a watch that starts again goes by. SIGTERM stops the run too;
the next watch resumes it. The object for hooks:
  event              success, failure or drift
  time, root, exit_code, seconds, snapshot_before, snapshot
  checkpoint         {path, size_bytes, changed_ns}; sha256, copy: its content's hash and the path of the copy
  error, tries, final     of a failure; final: it is not tried again
  diff               {before, after, exit_code, drifted, out, error}, or null; out is the folder of its tables and pages

exit codes: 0 done (--once), 1 a run failed (--once) or an error, 2 wrong usage, 75 stopped""",
    "status": """\
examples:
  atlas status
  atlas status atlases/efficientnet_lite0
  atlas status s3://bucket/atlas --json | jq '.stages[] | {name, done, total, seconds_left}'

Reads only the root: works from any machine, also during a run. The rate is that of all workers together in the last
stretch of work; the time left follows from it. --json prints one object:
  format             1; later versions add fields and rename none
  root, model, dataset, examples
  stages             [{name, unit, done, total, failures, per_second, seconds_left, last_activity}], in order;
                     null if not known; times as ISO 8601, UTC
  holder             the run that works on the root: {host, pid, run, since, heartbeat, alive}, or null
  holders            all such runs: several if each does a share of the sweep (sweep.share)
  unreadable         [{example_id, reason}]
  snapshot           {number, created} of the newest one, or null
  faults             with --verify, [{path, reason}] of the snapshot's files that are not as they were written

--snapshot 3 shows that snapshot instead: when and how it was made. --verify reads every file of the snapshot; the exit
code is 1 if one is damaged. Delete that file and run again: its results are made again.""",
    "view": """\
examples:
  atlas view
  atlas view atlases/efficientnet_lite0
  atlas view s3://bucket/atlas --port 8080 --no-browser

  atlas view atlases/efficientnet_lite0 --snapshot 3

The pages also open from disk: ROOT/site/index.html. With --snapshot they are made from the snapshot's tables while you
look; nothing is written.""",
    "diff": """\
examples:
  atlas diff atlases/resnet50                          the newest snapshot against the one before
  atlas diff atlases/resnet50@2 atlases/resnet50@5     two snapshots of a root
  atlas diff atlases/before atlases/after --out what-changed
  atlas diff atlases/resnet50 --fail-over drift=.3 --fail-over died=10

Writes layers.parquet, channels/*.parquet, summary.md, diff.json and pages (index.html). Layers of the same weights,
settings and images are reused, and not compared. Measures for --fail-over, over the whole network:
  drift         mean drift of all channels: 1 - correlation with what the channel was, over the same images; 0 if reused
  layer_drift   largest mean drift of a layer
  changed       share of the channels whose drift is above .5
  moved         share of the channels whose work another number does now
  lost          layers in which channel numbers mean nothing any more (after a training from another start, for example)
  died          channels that are dead now and were not
  worse         channels whose status was ok and is not
A measure that is not known, since nothing is comparable, counts as above. --json prints what diff.json holds, with
{thresholds, exceeded}.

exit codes: 0 done, 1 an error, 2 wrong usage, 4 a measure is above what --fail-over allows""",
    "sheet": """\
examples:
  atlas sheet atlases/efficientnet_lite0
  atlas sheet atlases/enemy --layer _blocks.13 --output noise.png --size 200
  atlas sheet atlases/efficientnet_lite0 --output atlas.pdf

A few units with several variants stand in a table, a row for each unit and a column for each variant, to compare
recipes, signs, seeds and sets side by side. Everything else flows in lines, layer after layer. A PDF has A4 pages.""",
    "snapshots": """\
examples:
  atlas snapshots atlases/efficientnet_lite0
  atlas snapshots s3://bucket/atlas --json | jq '.snapshots[-1].changes'

'network' is the start of a hash of the network's weights and code. 'only here' counts the bytes of files that no other
snapshot uses: what removing this one alone would free. --json prints {format, root, snapshots: [{number, damage,
created, version, network, run, command, layers, files, size_bytes, own_bytes, changes: {recomputed, added, removed,
layers, settings, dataset, rescanned, version, pictures}}]}; changes are against the snapshot before, null for the
first.""",
    "prune": """\
examples:
  atlas prune atlases/efficientnet_lite0 --keep 5          what would go; removes nothing
  atlas prune atlases/efficientnet_lite0 --keep 5 --yes

Keeps the newest snapshots with all their files, and all results of the last run, finished or not. Removes older
snapshots, the files that only they use, and files that killed writers left behind more than a day ago. If it is
stopped, the same command goes on. Refused while a run works on the root.""",
}
"""The end of the help of each command; "" is for `atlas` itself."""
