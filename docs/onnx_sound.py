"""Sound from what `seqgen export RUN --to onnx` wrote: python onnx_sound.py RUN.onnx clip.wav SECONDS [CLASS]"""

import json
import sys
import wave

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # one token is too little work to share
session = onnxruntime.InferenceSession(sys.argv[1], options)
told = json.loads(session.get_modelmeta().custom_metadata_map["seqgen"])
kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
feeds = {  # all zeros are the start of the state
    part.name: np.zeros([size if isinstance(size, int) else 1 for size in part.shape], kinds[part.type])
    for part in session.get_inputs()
}
feeds["token"][0] = told["start"]
if "label" in feeds:
    feeds["label"][0] = int(sys.argv[4])
uniforms = np.random.Generator(np.random.Philox(np.random.SeedSequence([0, 0])))  # of seqgen's seed 0, clip 0


def pick(logits):
    shares = np.exp(logits - logits.max()).cumsum()
    return np.searchsorted(shares, uniforms.random() * shares[-1], side="right")


tokens = []
for _ in range(int(float(sys.argv[3]) * told["rate"])):
    heard = [np.asarray(part) for part in session.run(["outputs", *told["next_state"]], feeds)]
    feeds.update(zip(told["state"], heard[1:], strict=True))
    outputs = heard[0][0].astype(float)
    if told["head"] == "categorical":
        tokens.append(pick(outputs))
    else:  # a mixture of logistics: one of them, then a place in it
        weights, means, log_scales = outputs.reshape(3, -1)
        which, share = pick(weights), uniforms.random()
        x = means[which] + np.exp(log_scales[which].clip(*told["log_scales"])) * np.log(share / (1 - share))
        tokens.append(int(np.floor((x + 1) / 2 * (told["values"] - 1) + 0.5).clip(0, told["values"] - 1)))
    feeds["token"] = np.array([tokens[-1]])

with wave.open(sys.argv[2], "wb") as file:
    file.setparams((1, 2, int(told["rate"]), 0, "NONE", ""))
    file.writeframes(np.round(np.array(told["amplitudes"])[tokens] * 32768).clip(-32768, 32767).astype("<i2").tobytes())
print(f"{sys.argv[2]}: {len(tokens) / told['rate']:.2f} s at {told['rate']} Hz")
