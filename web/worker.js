/** A worker that decodes strips for kmq.js. */

import { decodeTask, KmqError } from "./kmq.js";

/** @type {(answer: unknown, transfer?: Transferable[]) => void} */
const answer = (message, transfer = []) => globalThis.postMessage(message, { transfer });

globalThis.onmessage = ({ data }) => {
  try {
    const share = decodeTask(data);
    const arrays = share.rgba === undefined ? [share.indices] : [share.indices, share.rgba];
    answer(share, arrays.map((array) => /** @type {ArrayBuffer} */ (array.buffer)));
  } catch (error) {
    // Of errors, only some properties survive the way to another thread.
    if (error instanceof KmqError) {
      const { offset, field, found, expected } = error;
      answer({ fault: { offset, field, found, expected } });
    } else {
      answer({ message: error instanceof Error ? error.message : String(error) });
    }
  }
};

// Work is sent when this has arrived.
answer("ready");
