/** Headless Chromium over a folder that is served on the loopback interface. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { root } from './cli.js';

/** MAE_CHROMIUM, or where distributions put it; undefined where there is none. */
export const chromiumPath = [
  process.env['MAE_CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && existsSync(path));

/** Why tests skip. */
export const noChromium = 'no Chromium: install it (apt-get install chromium), or name it in MAE_CHROMIUM';
if (chromiumPath === undefined) console.log(noChromium);

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
};

export interface ServedPage {
  readonly page: Page;
  readonly url: string;
  close(): Promise<void>;
}

/** A page for `folder`; packages of jsDelivr come from node_modules, and nothing else from outside. */
export async function openPage(folder: string): Promise<ServedPage> {
  const server = serve(folder);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let browser: Browser | undefined;
  const close = async () => {
    await browser?.close();
    server.closeAllConnections();
    server.close();
  };
  try {
    browser = await chromium.launch({ executablePath: chromiumPath!, args: ['--no-sandbox'] });
    const page = await browser.newPage();
    await page.route(/^https?:\/\/(?!127\.0\.0\.1)/, (route) => {
      const [, name, rest] =
        /^https:\/\/cdn\.jsdelivr\.net\/npm\/(@?[^@]+)@[^/]+(\/.*)?$/.exec(route.request().url()) ?? [];
      if (name === undefined) return route.abort();
      return route.fulfill({ path: join(root, 'node_modules', name, rest ?? '/dist/transformers.min.js') });
    });
    return { page, url, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A page of a file, without network; what it asks for or complains about is in `complaints`. */
export async function openFile(
  path: string,
  options: Parameters<Browser['newPage']>[0] = {},
): Promise<{ page: Page; complaints: string[]; close(): Promise<void> }> {
  const browser = await chromium.launch({ executablePath: chromiumPath!, args: ['--no-sandbox'] });
  const page = await browser.newPage({ offline: true, ...options });
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) complaints.push(request.url());
  });
  await page.goto(pathToFileURL(path).href);
  return { page, complaints, close: () => browser.close() };
}

function serve(folder: string): Server {
  return createServer(({ url }, response) => {
    const path = join(folder, normalize(decodeURIComponent(new URL(url!, 'http://x').pathname)));
    if (!existsSync(path) || !statSync(path).isFile()) return void response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': types[extname(path)] ?? 'application/octet-stream' });
    createReadStream(path).pipe(response);
  });
}
