// Runs in Node with onnxruntime-node: float32 vectors through a model, scores to a file.
// node onnxruntime_node.cjs REQUEST, where REQUEST is JSON: model, inputs, shape, outputs.
"use strict";

const fs = require("node:fs");
const ort = require("onnxruntime-node");

async function main() {
  const request = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
  const bytes = fs.readFileSync(request.inputs);
  const values = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const [count, ...shape] = request.shape;
  const size = shape.reduce((product, side) => product * side, 1);
  const session = await ort.InferenceSession.create(request.model, {
    executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1,
  });
  const rows = [];
  for (let i = 0; i < count; ++i) {
    const image = new ort.Tensor("float32", values.slice(i * size, (i + 1) * size), [1, ...shape]);
    const results = await session.run({ [session.inputNames[0]]: image });
    for (const name of session.outputNames) {
      const numbers = results[name].data;
      rows.push(Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength));
    }
  }
  fs.writeFileSync(request.outputs, Buffer.concat(rows));
}

main().catch((error) => {
  console.error(String(error && error.message ? error.message : error));
  process.exit(1);
});
