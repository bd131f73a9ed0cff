/** A server of static files, for the tests and `npm start`: `node test/server.js FOLDER`. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

/** @type {Record<string, string>} */
const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/**
 * Serves folders on this machine only.
 *
 * @param {Record<string, string>} folders by the beginning of their addresses, the longest first
 * @param {number} port any that is free where it is 0
 * @returns {Promise<{port: number, close: () => void}>}
 */
export async function serve(folders, port = 0) {
  const server = createServer(async (request, response) => {
    const address = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    const path = located(folders, address.endsWith("/") ? `${address}index.html` : address);
    const found = path !== undefined && (await stat(path).catch(() => undefined))?.isFile();
    response.writeHead(found ? 200 : 404, { "content-type": TYPES[extname(path ?? "")] ?? "application/octet-stream" });
    if (found) createReadStream(path).pipe(response);
    else response.end();
  });
  await new Promise((listening) => server.listen(port, "127.0.0.1", () => listening(undefined)));
  const { port: opened } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { port: opened, close: () => server.close() };
}

/** @param {Record<string, string>} folders @param {string} address */
function located(folders, address) {
  const prefix = Object.keys(folders).find((prefix) => address.startsWith(prefix));
  const rest = normalize(address.slice(prefix?.length ?? 0));
  return prefix === undefined || rest.startsWith("..") ? undefined : join(folders[prefix], rest);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { port } = await serve({ "/": process.argv[2] ?? "site" }, 8000);
  console.log(`http://localhost:${port}/`);
}
