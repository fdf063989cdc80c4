// The network, off the thread of the page: a click is never in the way of the next one.

import { Segmenter } from "./segmenter.js";

let segmenter, embedding;
const jobs = {
  async load(folder) {
    segmenter = await Segmenter.load(folder, (text, part) => postMessage({ progress: { text, part } }));
  },
  async embed(picture) {
    embedding = undefined;
    embedding = await segmenter.embed(picture);
  },
  predict(clicks, size) {
    return segmenter.predict(embedding, clicks, size);
  },
};

// One after the other, as a session runs one thing at a time.
let last = Promise.resolve();
onmessage = ({ data: { id, job, given } }) => {
  last = last.then(async () => {
    try {
      postMessage({ id, result: await jobs[job](...given) });
    } catch (error) {
      postMessage({ id, error: error.message });
    }
  });
};
