/** The page as one file: its style, its script and its data stand in it, and nothing else is loaded. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ReportData } from '../../page/report-data.js';
import { compiledFile } from '../../util/compiled.js';

/** What a report begins with. */
export const reportMark = '<!doctype html><meta charset="utf-8"><meta name="generator" content="mae report">';

/** What the browser runs and reads, made of `src/page` by `bin/setup.js`. */
export function pageAssets(): { readonly script: string; readonly style: string } {
  const read = (name: string) => readFileSync(compiledFile(`page/${name}`), 'utf8');
  return { script: scriptText(read('report.js')), style: read('report.css') };
}

/** @param connect what the page may ask beside what stands in it: `'self'` for one that is served, `'none'` for a file */
export function reportPage(data: ReportData, connect: "'self'" | "'none'" = "'none'"): string {
  const { script, style } = pageAssets();
  const policy = [
    "default-src 'none'",
    `script-src '${digest(script)}'`,
    `style-src '${digest(style)}'`,
    `img-src data:${connect === "'self'" ? " 'self'" : ''}`,
    `connect-src ${connect}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const title = data.runs.map(({ name }) => name).join(', ');
  return `${reportMark}
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} · mae report</title>
<style>${style}</style>
<body>
<noscript>This page draws its curves with a script of its own; nothing of it leaves the page. Allow scripts to see it.</noscript>
<div id="report"></div>
<script type="application/json" id="data">${jsonInHtml(data)}</script>
<script>${script}</script>
`;
}

/** As a Content-Security-Policy names a text that may run. */
function digest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

/** JSON that ends no element and begins no comment; line separators are no line ends for older readers. */
export function jsonInHtml(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** A script whose text ends no element: in it these stand in strings and comments alone. */
function scriptText(script: string): string {
  return script.replaceAll(/<\/(script)/gi, '<\\/$1').replaceAll('<!--', '<\\!--');
}
