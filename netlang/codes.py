"""What every diagnostic code means, for `netlang explain CODE` and for the documentation."""

from __future__ import annotations

from dataclasses import dataclass

from netlang.diagnostics import did_you_mean, fail


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code: what it means, why it is a fault, and a small example of doing it wrong and right."""

    meaning: str
    why: str
    wrong: str
    right: str


def explanation(code: str) -> Explanation:
    """The explanation of a code. Raises DiagnosticError (`unknown-code`) where there is none."""
    if code not in EXPLANATIONS:
        raise fail(
            "unknown-code",
            f"there is no code `{code}`",
            help=did_you_mean(code, EXPLANATIONS) or "see `netlang explain`",
        )
    return EXPLANATIONS[code]


def explain(code: str) -> str:
    """The explanation of a code as text. Raises DiagnosticError (`unknown-code`) where there is none."""
    about = explanation(code)
    wrong, right = ("\n".join(f"  {line}" for line in example.splitlines()) for example in (about.wrong, about.right))
    return f"{code}\n\n{about.meaning}\n\nWhy: {about.why}\n\nWrong:\n{wrong}\n\nRight:\n{right}"


EXPLANATIONS: dict[str, Explanation] = {
    "assertion-failed": Explanation(
        "A condition that the program states with `where` or `assert` does not hold.",
        "The author of a layer says what it needs, so that a wrong use is found where it is made. What depends on open "
        "sizes is checked when data settles them, before anything is computed.",
        'layer halves(x: f32[b, d]) -> f32[b, d] where d % 2 == 0 : "{d} is odd" { return x }   # applied to f32[b, 7]',
        "y = halves(x)   # where x is f32[b, 8]",
    ),
    "bad-axis": Explanation(
        "An axis is named that the tensor does not have, or one is named twice.",
        "Axes count from 0, or from -1 backwards; a tensor of n dimensions has the axes -n to n - 1.",
        "y = mean(x, 2)   # x: f32[b, d]",
        "y = mean(x, -1)",
    ),
    "bad-checkpoint": Explanation(
        "A checkpoint is cut short, damaged, not a safetensors file of netlang, or of another version.",
        "Going on from half a checkpoint would train something else. Checkpoints are replaced as a whole, so this one "
        "was changed by something other than netlang.",
        "netlang eval runs/lenet-1 --checkpoint last    # last.safetensors is damaged",
        "netlang eval runs/lenet-1 --checkpoint best    # the other one that a run keeps",
    ),
    "bad-data": Explanation(
        "A data file can be read, but what it says makes no data set: it is damaged, of another kind than its name "
        "says, or its parts do not go together.",
        "Training on it would fail later or, worse, learn from garbage.",
        "age,income\n31,40000\nunknown,52000",
        "age,income\n31,40000\n47,52000",
    ),
    "bad-index": Explanation(
        "An index or slice lies outside its dimension, or is of a kind that cannot index.",
        "Where sizes are known while compiling, such an index can never work; where they are open, it is checked when "
        "data settles them.",
        "y = x[:, 7]   # x: f32[b, 4]",
        "y = x[:, 3]",
    ),
    "bad-rule": Explanation(
        "A line of a `pretrained` declaration says nothing that can be done: an unknown word, a pattern that leads "
        "nowhere, stars on one side that have none on the other.",
        "Rules are carried out one after the other; one that means nothing would let weights go astray.",
        'pretrained Net "net.safetensors" { "layer*.conv.*" -> "stage.conv" }',
        'pretrained Net "net.safetensors" { "layer*.conv.*" -> "stage_*.conv.*" }',
    ),
    "bad-run": Explanation(
        "The directory of a run is damaged, incomplete, or of another version of netlang.",
        "What a run is can only be told from its `config.json` and its copies of the sources.",
        "rm -r runs/lenet-1/sources; netlang eval runs/lenet-1",
        "netlang eval runs/lenet-2",
    ),
    "bad-value": Explanation(
        "A number or a word is of the right type but outside what is allowed.",
        "It would fail later, or silently do something else than was meant.",
        "y = dropout(1.5)(x)",
        "y = dropout(0.5)(x)",
    ),
    "bad-weights": Explanation(
        "A file of weights is cut short, damaged, or not a safetensors file. Files of PyTorch (`.pth`, `.pt`, `.bin`) "
        "are pickles, which can hold programs; they are not opened.",
        "Half the weights of a network, or numbers from anywhere else, would give wrong answers without a word.",
        "netlang compile std:ResNet18 --weights resnet18.pth",
        "netlang compile std:ResNet18 --weights resnet18.safetensors",
    ),
    "branch-mismatch": Explanation(
        "The two branches of an `if` that chooses at run time disagree on the type of a value.",
        "What stands behind the `if` is compiled once, for both; so shapes and types of elements must be equal. A "
        "number becomes what the other branch has.",
        "y = if sum(x) > 0 { x } else { mean(x, -1) }",
        "y = if sum(x) > 0 { mean(x * x, -1) } else { mean(x, -1) }",
    ),
    "changed-data": Explanation(
        "The data has another number of rows than when the run began.",
        "A resumed run goes on in the middle of an epoch, which is only right on the same rows.",
        "netlang train --resume runs/lenet-1 --data mnist:other-folder",
        "netlang train lenet.net --data mnist:other-folder --out runs/lenet-2",
    ),
    "disk-full": Explanation(
        "There is no space left to write a file.",
        "Files are written beside their place and take it when they are complete, so what stood "
        "there before is untouched.",
        "netlang train gpt.net --out /almost-full/run",
        "netlang train --resume /almost-full/run    # after making space",
    ),
    "doubly-filled-weights": Explanation(
        "Two tensors of a file get the same name by the rules of a `pretrained` declaration.",
        "A weight has one value: which of the two was meant cannot be guessed.",
        'pretrained Net "net.safetensors" { "encoder.*" -> "*"; "decoder.*" -> "*" }',
        'pretrained Net "net.safetensors" { "encoder.*" -> "*"; ignore "decoder.*" }',
    ),
    "duplicate-argument": Explanation(
        "A call gives the same argument twice: twice by name, or by position and by name.",
        "Only one of the two values could be used.",
        "y = linear(10, out = 20)(x)",
        "y = linear(10)(x)",
    ),
    "duplicate-name": Explanation(
        "A name is bound twice where it must be bound once: two definitions, two imports, two entries, or a second "
        "value for a name that `let` or `const` has bound.",
        "`let` names a layer and its parameters, and definitions can be used before they stand; neither may change.",
        "fn f(x: f32[b]) -> f32[b] { return x }\nfn f(x: f32[b]) -> f32[b] { return -x }",
        "fn f(x: f32[b]) -> f32[b] { return x }\nfn g(x: f32[b]) -> f32[b] { return -x }",
    ),
    "duplicate-parameter": Explanation(
        "A definition has two parameters of one name, or a layer declares two `param` or `state` of one name.",
        "Parameters are stored, trained and passed by name.",
        "fn f(x: f32[b], x: f32[b]) -> f32[b] { return x }",
        "fn f(x: f32[b], y: f32[b]) -> f32[b] { return x + y }",
    ),
    "edges-shape": Explanation(
        "What an `aggregate` is given or computes does not fit the edges of a graph.",
        "Edges are `i64[2, e]`, sources in the first row and targets in the second; the body is worth a row for each.",
        "aggregate sum over (u -> v) in edges { sum(h[u]) }    # one number for all edges",
        "aggregate sum over (u -> v) in edges { sum(h[u], -1) }    # one for each edge",
    ),
    "file-too-large": Explanation(
        "The source file has more text than is read: 2,000,000 characters or 200,000 words and signs.",
        "A network is a few pages; a file of this size is usually data, or was made by a program gone wrong.",
        "const table = [0.1, 0.2, …]   # a million numbers",
        "param table: f32[1000, 1000] ~ zeros()   # with its values in a weights file",
    ),
    "foreign-run": Explanation(
        "A directory or a checkpoint belongs to another network, or holds files that are no run at all.",
        "netlang overwrites nothing that it did not make for the same purpose.",
        "netlang train resnet.net --out runs/lenet-1",
        "netlang train resnet.net --out runs/resnet-1",
    ),
    "forked-process": Explanation(
        "A network or a trainer is used in a forked copy of the process that it was made in.",
        "The threads that compute are not copied with a process, so that it would wait for them forever.",
        "os.fork() or trainer.step(image=images, label=labels)",
        'multiprocessing.get_context("spawn").Process(target=train).start()',
    ),
    "incomplete-weights": Explanation(
        "By the rules of a `pretrained` declaration, some weights of the model get no value, or some tensors of the "
        "file have no place in it.",
        "A network that is half pretrained and half random looks as if it worked. What is meant to be left out or to "
        "begin afresh is said with `ignore` and `new`.",
        'pretrained Net "net.safetensors" { "fc.*" -> "linear.*" }   # and the file has `fc.scale` too',
        'pretrained Net "net.safetensors" { ignore "fc.scale"; "fc.*" -> "linear.*" }',
    ),
    "index-out-of-range": Explanation(
        "The data holds a label, a token or the number of a row or node that the network does not have, or the network "
        "has computed such an index.",
        "A network with 10 classes knows the labels 0 to 9; any other would stop it, or silently count for nothing.",
        "netlang train lenet.net --set classes=10 --data mnist:emnist-letters",
        "netlang train lenet.net --set classes=27 --data mnist:emnist-letters",
    ),
    "invalid-character": Explanation(
        "The text contains a character that has no meaning here, or an operator of another language.",
        "Names are ASCII letters, digits and `_`; strings are in double quotes; logic is `and`, `or`, `not`; a power "
        "is `**`.",
        "fn f(x: f32[b]) -> f32[b] { return x^2 }",
        "fn f(x: f32[b]) -> f32[b] { return x ** 2 }",
    ),
    "invalid-escape": Explanation(
        r'A string has a backslash before a character other than `"`, `\` and `n`.',
        "Unknown escapes usually come from paths or patterns whose backslashes would be lost.",
        r'use ".\blocks.net": stem',
        r'use "./blocks.net": stem',
    ),
    "invalid-message": Explanation(
        "The message of a `where` or `assert` has a brace without a partner.",
        "Braces in messages hold expressions whose values are shown. A brace itself is written twice.",
        'fn f(x: f32[b]) -> f32[b] where b > 1 : "only {b" { return x }',
        'fn f(x: f32[b]) -> f32[b] where b > 1 : "only {b}" { return x }',
    ),
    "invalid-number": Explanation(
        "A number is misspelled, or does not fit: integers have 64 bits, other numbers are 64-bit floats.",
        "A value that is silently rounded to infinity or zero would be found much later.",
        "const big = 1e999",
        "const big = 1e99",
    ),
    "invalid-target": Explanation(
        "Something other than a name stands left of `=`.",
        "Values do not change: an assignment gives a new value to a name. Layers have no `self`.",
        "fn f(x: f32[b]) -> f32[b] { x[0] = 1; return x }",
        "fn f(x: f32[b]) -> f32[b] { y = x + 1; return y }",
    ),
    "misplaced-statement": Explanation(
        "A statement or declaration stands where it has no meaning: `minimize` outside a `train` block, `param` in a "
        "`fn`, `let` at the top level of a file, `emit` outside a `scan`, a state set in one of its rounds.",
        "Files hold declarations; layers and models hold parameters; `train` blocks hold losses and optimizers; what "
        "runs many times, or perhaps not at all, cannot do what is done once in a step.",
        "fn f(x: f32[b]) -> f32[b] { param w: f32[3] ~ zeros(); return x }",
        "layer f()(x: f32[b]) -> f32[b] { param w: f32[3] ~ zeros(); return x * sum(w) }",
    ),
    "missing-argument": Explanation(
        "A call leaves out an argument that has no default.",
        "Nothing says which value was meant.",
        "y = linear()(x)",
        "y = linear(10)(x)",
    ),
    "missing-else": Explanation(
        "An `if` whose value is used has no `else`.",
        "Where the condition is false, there would be no value.",
        "fn f(x: f32[b]) -> f32[b] { y = if b > 1 { x }; return y }",
        "fn f(x: f32[b]) -> f32[b] { y = if b > 1 { x } else { -x }; return y }",
    ),
    "missing-extra": Explanation(
        "This needs a package that netlang does not install by itself.",
        "Pictures, plots and the like are extras, so that those who do not need them have less to install.",
        "netlang train lenet.net --data images:photos",
        "pip install 'netlang[image]'",
    ),
    "missing-input": Explanation(
        "Nothing was given for an input of the network.",
        "A graph runs only when all of its inputs have values.",
        "trainer.step(image = images)",
        "trainer.step(image = images, label = labels)",
    ),
    "nesting-too-deep": Explanation(
        "Brackets are nested more than 100 deep, or an expression or statement more than 200 levels.",
        "The limit keeps a broken or hostile file from exhausting the compiler; no readable program comes near it.",
        "const x = ((((1))))   # with a hundred brackets",
        "const x = 1",
    ),
    "network-too-large": Explanation(
        "Building the network takes more steps, or gives more items, results or elements, than any network needs.",
        "A `repeat` in a `repeat`, or one that doubles something each time, soon asks for more than a computer holds.",
        "repeat 60 { f = f >> f }",
        "repeat 60 { x = x |> f }",
    ),
    "no-checkpoint": Explanation(
        "A run has no checkpoint of this name yet.",
        "A run keeps `last`, and `best` once validation data have chosen it; one that was stopped at once has neither.",
        "netlang eval runs/lenet-1 --checkpoint best    # stopped before the first evaluation",
        "netlang train --resume runs/lenet-1",
    ),
    "no-device": Explanation(
        "The device asked for is unknown or not there.",
        "Falling back to another one silently would be slow, and look like success.",
        "netlang train lenet.net --device cuda    # with the onnxruntime wheel for the CPU",
        "pip uninstall onnxruntime && pip install onnxruntime-gpu",
    ),
    "no-gradient": Explanation(
        "What is differentiated depends on a parameter, or on what `wrt` names, not at all, or only through an "
        "operator that has no gradient, such as `argmax`.",
        "The derivative would be zero everywhere: the parameter could not be trained.",
        "minimize mean(f32(argmax(logits, -1) == label))",
        "minimize cross_entropy(logits, label)",
    ),
    "no-loss": Explanation(
        "Training or evaluation is asked for, and the model has no `train` block, or one that minimizes nothing.",
        "The training step follows from the loss.",
        "train Net { optimizer adam(1e-3) }",
        "train Net { in y: f32[b, 1]; minimize mse(forward(x), y); optimizer adam(1e-3) }",
    ),
    "no-optimizer": Explanation(
        "Training is asked for, and the `train` block says no optimizer.",
        "Nothing says how gradients change the parameters.",
        "train Net { in y: f32[b, 1]; minimize mse(forward(x), y) }",
        "train Net { in y: f32[b, 1]; minimize mse(forward(x), y); optimizer adam(1e-3) }",
    ),
    "no-parameters": Explanation(
        "A phase updates something that has no parameters, or none that were used so far; or a `train` block has "
        "nothing to train, since the model has no parameters or all of them are frozen.",
        'Behind `updates` stand layers and models bound by `let`, parameters, and patterns such as "encoder.*".',
        "phase generate updates relu { … }",
        "phase generate updates generator { … }    # let generator = linear(8) >> relu",
    ),
    "no-return": Explanation(
        "A function, layer or entry ends without `return`.",
        "It would have no result.",
        "fn f(x: f32[b]) -> f32[b] { y = -x }",
        "fn f(x: f32[b]) -> f32[b] { return -x }",
    ),
    "no-run": Explanation(
        "A directory is not that of a run.",
        "A run is what `netlang train` and `Trainer.save` leave: a directory with a `config.json`.",
        "netlang eval lenet.net",
        "netlang eval runs/lenet-1",
    ),
    "not-a-tensor": Explanation(
        "A tensor is needed, and something else is given, such as a layer that was not applied.",
        "Operators compute with tensors; a layer becomes one when it is applied to its input.",
        "y = x + linear(10)",
        "y = x + linear(10)(x)",
    ),
    "not-callable": Explanation(
        "Something that is no function, layer or model is applied, or a layer is applied before it is created.",
        "A layer is created with its settings, then applied to its input: `linear(10)(x)` or `x |> linear(10)`.",
        "y = x |> linear",
        "y = x |> linear(10)",
    ),
    "not-compile-time": Explanation(
        "A value known only at run time stands where it must be known while compiling.",
        "Shapes of parameters, counts of `repeat`, conditions of `if` and constants decide what the graph is.",
        "if sum(x) > 0 { y = x }",
        "y = select(sum(x) > 0, x, -x)",
    ),
    "not-finite": Explanation(
        "The loss, or a parameter, became infinite or no number during training.",
        "From there on every step would keep it so. Training stops before the step takes effect, and the checkpoints "
        "written before stay. The line shown is where the first such number came up.",
        "optimizer sgd(10)",
        "optimizer sgd(cosine(0.1, warmup = 100))\nclip 1.0",
    ),
    "not-logits": Explanation(
        "A loss that contains `softmax` or `sigmoid` is given what has been through one already.",
        "Probabilities are logits of nearly equal classes: the network would learn slowly, and never be sure.",
        "minimize cross_entropy(softmax(forward(x)), label)",
        "minimize cross_entropy(forward(x), label)",
    ),
    "onnx-dynamic": Explanation(
        "An ONNX model computes while it runs what must be known while compiling: the rank of a tensor, an axis, "
        "a mode.",
        "Types are fixed before a network runs. Sizes may stay open; how many dimensions a tensor has may not.",
        "netlang import detector.onnx -o detector    # permutes axes by a computed list",
        "netlang import detector-static.onnx -o detector    # exported with constant axes",
    ),
    "onnx-external": Explanation(
        "Weights that an ONNX model keeps in another file cannot be read: the file is missing, too short, or not in "
        "the folder of the model.",
        "A model must not read whatever it names: `..`, absolute paths and links out of its folder are refused.",
        "netlang import model.onnx -o model    # whose weights are said to be in ../../secret",
        "netlang import model/model.onnx -o model    # with weights.bin beside it",
    ),
    "onnx-malformed": Explanation(
        "A file is no ONNX model, or breaks the rules of ONNX: it is cut short, uses a value that nothing computes, "
        "holds more or less data than its shapes say, calls an operator as it cannot be called.",
        "Guessing what was meant would give another network.",
        "netlang import half-downloaded.onnx -o model",
        "netlang import model.onnx -o model",
    ),
    "onnx-too-large": Explanation(
        "An ONNX model claims more than is reasonable: graphs nested too deeply, too many nodes, functions that expand "
        "without end, or tensors too large to hold.",
        "A small file can describe an endless computation. It is refused before anything of that size is made.",
        "netlang import bomb.onnx -o model",
        "netlang import model.onnx -o model",
    ),
    "onnx-unsupported": Explanation(
        "An ONNX model uses an operator, an operator set or a form of one that cannot be read.",
        "Operators of the standard are read, if need be as they are; those of other domains are known to their makers.",
        "netlang import fused.onnx -o model    # optimised for one runtime: com.microsoft.FusedMatMul",
        "netlang import model.onnx -o model    # as it was exported, before it was optimised",
    ),
    "opset-unsupported": Explanation(
        "The ONNX operator set that was asked for lacks an operator of the network, or does not exist yet.",
        "A runtime that knows an operator set runs the earlier ones too. The compiler takes the lowest that serves, "
        "which the widest range of runtimes can read; a lower one cannot express the network.",
        "netlang compile std:LeNet5 -o build/ --opset 99",
        "netlang compile std:LeNet5 -o build/",
    ),
    "out-of-memory": Explanation(
        "The machine has not enough memory for what was asked.",
        "A training step holds every activation of a batch at once, and every parameter twice.",
        "netlang train std:GPT2 --data text:input.txt --length 1024 --batch 64",
        "netlang train std:GPT2 --data text:input.txt --length 1024 --batch 4   # `netlang summary` says what it takes",
    ),
    "outside-project": Explanation(
        "A `use` names a file that lies outside of the project, that is reached through a symbolic link, or that has "
        "an absolute path.",
        "A program is what stands in its own folder, so that it means the same on every machine and can be given away "
        "as a whole. The root of a project is the folder of the nearest `project.net`.",
        'use "/home/me/shared/blocks.net": stem',
        'use "./shared/blocks.net": stem',
    ),
    "positional-after-named": Explanation(
        "An argument without a name follows one with a name.",
        "Its place in the list would no longer say which parameter it is for.",
        "const x = f(a = 1, 2)",
        "const x = f(2, a = 1)",
    ),
    "private-name": Explanation(
        "A `use` asks for a name that begins with `_`.",
        "Such a name is its file's own business: whoever wrote it may change or remove it without looking around.",
        'use "./blocks.net": _half',
        'use "./blocks.net": half   # renamed there',
    ),
    "rank-mismatch": Explanation(
        "A tensor has another number of dimensions than is needed.",
        "Dimensions are matched one by one; only a pack such as `*s` stands for any number of them.",
        "y = image |> linear(10) |> conv2d(8, 3)",
        "y = image |> conv2d(8, 3) |> flatten |> linear(10)",
    ),
    "recursion": Explanation(
        "A definition uses itself, directly or through others, or files import one another.",
        "A network is finite: everything is unrolled while compiling. `repeat` makes a known number of layers.",
        "layer tower(n: int)(x: f32[b, d]) -> f32[b, d] { return x |> linear(d) |> tower(n - 1) }",
        "layer tower(n: int)(x: f32[b, d]) -> f32[b, d] { repeat n { x = x |> linear(d) }; return x }",
    ),
    "reserved-word": Explanation(
        "A word of the language, or one that is reserved for a construct to come, is used as a name.",
        "Such names would make programs hard to read, or break them when the construct comes.",
        "fn f(x: f32[b]) -> f32[b] { loop = -x; return loop }",
        "fn f(x: f32[b]) -> f32[b] { looped = -x; return looped }",
    ),
    "run-busy": Explanation(
        "Another process is training in this directory.",
        "Two at once would write over each other's checkpoints, and mix their logs.",
        "netlang train --resume runs/lenet-1 & netlang train --resume runs/lenet-1",
        "netlang train --resume runs/lenet-1",
    ),
    "run-exists": Explanation(
        "The directory already holds a run of the same network.",
        "Starting anew there would destroy it.",
        "netlang train lenet.net --out runs/lenet-1    # a second time",
        "netlang train --resume runs/lenet-1",
    ),
    "run-failed": Explanation(
        "ONNX Runtime stopped in the middle of the network, for a reason that has no name of its own here.",
        "Most likely sizes that are open while compiling do not go together in this input. A `where` says what they "
        "must be, and is checked before anything is computed. If they are right, it is a fault of netlang: report it.",
        "fn halves(x: f32[b, t]) -> f32[b, 2, _] { return reshape(x, [b, 2, t // 2]) }   # run with t = 5",
        'fn halves(x: f32[b, t]) -> f32[b, 2, _] where t % 2 == 0 : "{t} is odd" { … }',
    ),
    "several-phases": Explanation(
        "A half of a training step is asked for, and the step has several phases.",
        "`grad.onnx` and `apply.onnx` cut a step between one loss and one update; phases have several of both.",
        "network.gradient_graph()    # of a network with `phase a updates f { … }` and `phase b updates g { … }`",
        "network.train_graph()    # the whole step, which is `train.onnx`",
    ),
    "shape-mismatch": Explanation(
        "Two shapes disagree: of an operator's sides, of an argument and its parameter, or of a result and its type.",
        "Dimensions with the same name are equal, and sizes that differ cannot be combined unless one of them is 1.",
        "y = x @ w   # x: f32[b, 64], w: f32[32, 8]",
        "y = x @ w   # x: f32[b, 64], w: f32[64, 8]",
    ),
    "shared-shape": Explanation(
        "A layer that is used twice would need parameters of different shapes.",
        "A layer that was created once has its parameters once; applying it again shares them.",
        "let f = linear(10)\ny = f(x) + f(z)   # x: f32[b, 4], z: f32[b, 5]",
        "y = linear(10)(x) + linear(10)(z)",
    ),
    "syntax-error": Explanation(
        "The text does not follow the grammar; the message says what would have fitted.",
        "Without its structure a program has no meaning. Reading goes on with the next declaration, so that one run "
        "shows the first error of each.",
        "fn f(x: f32[b]) -> f32[b] { return x + }",
        "fn f(x: f32[b]) -> f32[b] { return x + 1 }",
    ),
    "system-error": Explanation(
        "The operating system refused something, for the reason that it gives.",
        "Without it the command cannot do what it was asked to.",
        "netlang fmt lenet5.net   # in a directory that became read-only meanwhile",
        "netlang fmt lenet5.net   # where the file may be written",
    ),
    "truncated-data": Explanation(
        "A data file is shorter than its own header says.",
        "A download or a copy was cut off; the missing rows cannot be guessed.",
        "netlang train lenet.net --data mnist:half-a-download",
        "netlang train lenet.net --data mnist:complete",
    ),
    "type-mismatch": Explanation(
        "A value is of another type than is needed: another element type, or a tensor where a number belongs.",
        "Element types are never converted silently; `f32(x)` and its like convert.",
        "y = x + label   # x: f32[b], label: i64[b]",
        "y = x + f32(label)",
    ),
    "unbounded-loop": Explanation(
        "A `loop while` is differentiated, and nothing says how many rounds it can run.",
        "The gradient keeps values of every round, so their number needs a bound.",
        "y = loop while sum(h) < 4.0 carry h = x { next h = h * w }   # in a loss",
        "y = loop i from 1 to 100 while sum(h) < 4.0 carry h = x { next h = h * w }",
    ),
    "unclosed-bracket": Explanation(
        "A bracket is not closed before its block, its file or another bracket ends.",
        "The message points to the bracket and to the latest place where it could have been closed.",
        "fn f(x: f32[b]) -> f32[b] { return abs(x }",
        "fn f(x: f32[b]) -> f32[b] { return abs(x) }",
    ),
    "undecidable": Explanation(
        "A condition depends on sizes that stay open until run time, and both answers are possible.",
        "An `if` on sizes chooses while compiling. Sizes can be fixed, or the condition stated with `where` and "
        "checked later; an `if` on a tensor chooses at run time.",
        "if batch > 16 { y = x }",
        "if classes > 16 { y = x }   # where `classes: int` is a setting",
    ),
    "undefined-name": Explanation(
        "A name is used that nothing defines, or before it is defined.",
        "It is usually misspelled, not imported, or bound inside a block whose names end with it.",
        "fn f(x: f32[b]) -> f32[b] { return y }",
        "fn f(x: f32[b]) -> f32[b] { y = -x; return y }",
    ),
    "unknown-argument": Explanation(
        "A call gives an argument that the function or layer does not have, or too many.",
        "It would have no effect.",
        "y = conv2d(8, 3, strides = 2)(x)",
        "y = conv2d(8, 3, stride = 2)(x)",
    ),
    "unknown-attribute": Explanation(
        "There is nothing of this name behind the `.`, or no such annotation.",
        "Layers have their parameters and layers as attributes; a tensor has `.T`; annotations are `@frozen`, "
        "`@no_decay` and `@recompute`.",
        "y = x @ table.weights.T",
        "y = x @ table.weight.T",
    ),
    "unknown-code": Explanation(
        "There is no diagnostic of this code.",
        "`netlang explain` explains the word in brackets that follows `error` or `warning`.",
        "netlang explain shape",
        "netlang explain shape-mismatch",
    ),
    "unknown-entry": Explanation(
        "The model has no entry of this name.",
        "A model is run by its entries; one that declares none has the entry `forward`.",
        "netlang run runs/vae-1 encoder --input x=a.npy",
        "netlang run runs/vae-1 encode --input x=a.npy",
    ),
    "unknown-initializer": Explanation(
        "There is no initializer of this name, or something else stands behind `~`.",
        "The initial values of parameters and states come from initializers such as `zeros()` or `kaiming_uniform()`.",
        "param w: f32[3] ~ kaiming()",
        "param w: f32[3] ~ kaiming_uniform()",
    ),
    "unknown-model": Explanation(
        "There is no model of this name in the file.",
        "A `train` block, or the command, names the model it is for.",
        "train LeNet { optimizer adam(1e-3) }   # the model is called LeNet5",
        "train LeNet5 { optimizer adam(1e-3) }",
    ),
    "unknown-module": Explanation(
        "A `use` names a file or a part of the library that is not there.",
        "Paths are relative to the file that has the `use`, and a folder stands for the `index.net` in it. Names begin "
        "with `std.` for the library, or else at the root of the project, the folder of `project.net`.",
        "use std.layer: linear",
        "use std.layers: linear",
    ),
    "unknown-source": Explanation(
        "This is neither a data set that netlang has, nor a kind of file it reads, nor a path that exists.",
        "Data is named by `digits`, by `KIND:PATH`, or by a path whose kind can be told from its content.",
        "netlang train lenet.net --data mnits:data",
        "netlang train lenet.net --data mnist:data",
    ),
    "unknown-token": Explanation(
        "A text holds a character or a word that the vocabulary does not have, or a class has a name that is not "
        "known.",
        "The numbers of a trained network stand for what its training data had, and for nothing else.",
        "netlang run runs/GPT-1 --input tokens=text:élan       # trained on a text without é",
        "netlang run runs/GPT-1 --input tokens=text:elan",
    ),
    "unopened-bracket": Explanation(
        "A closing bracket has no opening one.",
        "Often a bracket was closed twice, or the opening one was lost.",
        "fn f(x: f32[b]) -> f32[b] { return x } }",
        "fn f(x: f32[b]) -> f32[b] { return x }",
    ),
    "unplanned-steps": Explanation(
        "A learning-rate schedule depends on the planned number of steps, which is not known.",
        "A cosine needs to know where it ends. `fit` and `netlang train` know; a loop of one's own has to say.",
        "trainer = nl.Trainer(net)\ntrainer.step(image = images, label = labels)",
        "trainer = nl.Trainer(net, steps = 1000)\ntrainer.step(image = images, label = labels)",
    ),
    "unreachable-code": Explanation(
        "Statements follow a `return`.",
        "They are never executed, so something else was meant.",
        "fn f(x: f32[b]) -> f32[b] { return x; y = -x; return y }",
        "fn f(x: f32[b]) -> f32[b] { y = -x; return y }",
    ),
    "unreadable-file": Explanation(
        "A file does not exist, must not be read, is a directory, is too large for what it should be, or is not "
        "UTF-8 text.",
        "Nothing can be done without its contents.",
        "netlang check lenet.nte",
        "netlang check lenet.net",
    ),
    "unset-carry": Explanation(
        "The body of a `scan` or `loop` does not say what a carry is in the next round, or names one that it has not.",
        "A carry is handed from round to round: each sets it once, with `next`, in both branches of an `if`.",
        "y = loop i from 1 to 9 carry h = x { g = h * w }",
        "y = loop i from 1 to 9 carry h = x { next h = h * w }",
    ),
    "unset-state": Explanation(
        "`next name` is set or read without a state of that name, or read before it is set; or `=` stands where `next` "
        "would set a state.",
        "A state keeps a value from one step to the next; `next` is its coming value.",
        "layer f()(x: f32[b]) -> f32[b] { next seen = 1; return x }",
        "layer f()(x: f32[b]) -> f32[b] { state seen: f32 ~ zeros(); next seen = seen + 1; return x }",
    ),
    "unterminated-string": Explanation(
        "A string has no closing quote on its line.",
        "Strings do not span lines, so that a forgotten quote does not swallow the rest of the file.",
        'use "./blocks.net: stem',
        'use "./blocks.net": stem',
    ),
    "unused-name": Explanation(
        "Something is bound and never used. (A warning.)",
        "It is often a misspelling or a forgotten step. A name that begins with `_` is meant to be unused.",
        "fn f(x: f32[b]) -> f32[b] { y = -x; return x }",
        "fn f(x: f32[b]) -> f32[b] { y = -x; return y }",
    ),
    "unused-result": Explanation(
        "The value of an expression is neither bound nor returned.",
        "Expressions have no effects, so such a line does nothing.",
        "fn f(x: f32[b]) -> f32[b] { -x; return x }",
        "fn f(x: f32[b]) -> f32[b] { y = -x; return y }",
    ),
    "unwritable-file": Explanation(
        "A file or directory cannot be written.",
        "Its directory may be read-only or owned by someone else, or a file may stand where a directory should be.",
        "netlang compile lenet.net -o /usr/bin",
        "netlang compile lenet.net -o build",
    ),
    "vocabulary-mismatch": Explanation(
        "The vocabulary of the data does not go with the model: it is for another kind of data, there are two where "
        "the model has one table of words, or it has more tokens than the model.",
        "A token is a number, and each side would take it for another word.",
        "netlang train std:Transformer --data parallel:train.de,train.en --tokens words,words",
        "netlang train std:Transformer --data parallel:train.de,train.en --tokens words",
    ),
    "wrong-input": Explanation(
        "An array does not fit the input that it is for: another dtype, another shape, or no such input.",
        "Numbers keep their kind, and images their size, unless the program says otherwise: nothing is changed "
        "silently.",
        "model Net()(image: f32[b, 1, 32, 32]) -> f32[b, 10] { … }   # fed with images of 28 × 28\ntrain Net { … }",
        "model Net()(image: f32[b, 1, 32, 32]) -> f32[b, 10] { … }\ntrain Net { fit image: pad; … }",
    ),
    "wrong-result": Explanation(
        "The result of a function, layer or entry is not of the type that it declares.",
        "The type behind `->` is what callers rely on.",
        "fn f(x: f32[b, d]) -> f32[b] { return x }",
        "fn f(x: f32[b, d]) -> f32[b] { return mean(x, -1) }",
    ),
    "wrong-weights": Explanation(
        "Weights do not belong to the network: one is missing, unknown, or of another shape or dtype.",
        "Weights are found by their dotted names; a network with other settings has other weights.",
        "net.weights = {}",
        "net.weights = other.weights   # of a network with the same settings",
    ),
}
