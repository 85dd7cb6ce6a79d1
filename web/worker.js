/** A worker that decodes strips for kmq.js. */

import { decodeTask } from "./kmq.js";

/** @type {(answer: unknown, transfer?: Transferable[]) => void} */
const answer = (message, transfer = []) => globalThis.postMessage(message, { transfer });

globalThis.onmessage = (/** @type {MessageEvent} */ { data }) => {
  try {
    const share = decodeTask(data);
    const arrays = share.rgba === undefined ? [share.indices] : [share.indices, share.rgba];
    answer(share, arrays.map((array) => /** @type {ArrayBuffer} */ (array.buffer)));
  } catch (error) {
    // Of errors, only some properties survive the way to another thread.
    const { name, message } = /** @type {Error} */ (error);
    const { offset, field, found, expected } = /** @type {Partial<import("./kmq.js").KmqError>} */ (error);
    answer({ error: { name, message, offset, field, found, expected } });
  }
};

// Work is sent when this has arrived.
answer("ready");
