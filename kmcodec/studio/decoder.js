// A worker: fetches a .kmq file and decodes it, so that the page never waits.
import { decode } from "./kmq.js";

onmessage = async ({ data: { version, url } }) => {
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    const { width, height, hasAlpha, palette, indices, rgba } = decode(await response.arrayBuffer());
    const counts = new Uint32Array(palette.length / 4);
    for (let i = 0; i < indices.length; i++) counts[indices[i]]++;
    postMessage({ version, width, height, hasAlpha, palette, counts, rgba }, [rgba.buffer]);
  } catch (error) {
    postMessage({ version, error: error.message });
  }
};
