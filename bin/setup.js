// Installs what package-lock.json names and compiles src/ to dist/; skips what is already in place.
// It runs before node_modules exists, so it uses Node alone.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeProblem } from './check-node.js';

const problem = nodeProblem(process.version);
if (problem !== undefined) {
  console.error(`setup: ${problem}`);
  process.exit(1);
}

const root = fileURLToPath(new URL('..', import.meta.url));

function run(what, command, args) {
  console.log(`setup: ${what}`);
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (status === 0) return;
  console.error(`setup: ${command} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`);
  process.exit(1);
}

/** SHA-256 over names and contents of files and folders, in the order of their names. */
function fingerprint(paths) {
  const hash = createHash('sha256');
  const visit = (path) => {
    const entries = readdirSync(join(root, path), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) visit(child);
      else hash.update(child).update(readFileSync(join(root, child)));
    }
  };
  for (const path of paths) {
    if (path.endsWith('/')) visit(path);
    else hash.update(path).update(readFileSync(join(root, path)));
  }
  return hash.digest('hex');
}

/** Runs `action` unless `stamp` holds the fingerprint of `inputs`. */
function once(stamp, inputs, action) {
  const wanted = fingerprint(inputs);
  const path = join(root, stamp);
  if (existsSync(path) && readFileSync(path, 'utf8') === wanted) return;
  action();
  writeFileSync(path, wanted);
}

/** The script and the style that a report carries: dist/page/report.js and report.css, with uPlot and its licence. */
function bundlePage() {
  const uplot = join(root, 'node_modules', 'uplot');
  const licence = readFileSync(join(uplot, 'LICENSE'), 'utf8').trim();
  const notice = `/*! uPlot, https://github.com/leeoniya/uPlot\n\n${licence}\n*/\n`;
  const files = ['src/page/main.ts', '--file', 'dist/page/report.js', '--format', 'iife', '--minify'];
  const rolldown = join('node_modules', 'rolldown', 'bin', 'cli.mjs');
  run('bundling the page of reports', 'node', [rolldown, ...files, '--logLevel', 'warn']);
  const script = join(root, 'dist', 'page', 'report.js');
  writeFileSync(script, notice + readFileSync(script, 'utf8'));
  const styles = [join(uplot, 'dist', 'uPlot.min.css'), join(root, 'src', 'page', 'report.css')];
  writeFileSync(
    join(root, 'dist', 'page', 'report.css'),
    styles.map((path) => readFileSync(path, 'utf8')).join('\n'),
  );
}

once('node_modules/.mae-setup', ['package-lock.json', '.npmrc'], () =>
  run('installing packages', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']),
);
once('dist/.mae-setup', ['src/', 'tsconfig.json', 'package-lock.json', 'bin/setup.js'], () => {
  for (const entry of existsSync(join(root, 'dist')) ? readdirSync(join(root, 'dist')) : []) {
    if (entry !== 'kernels') rmSync(join(root, 'dist', entry), { recursive: true });
  }
  run('compiling', 'node', [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json']);
  const asc = join('node_modules', 'assemblyscript', 'bin', 'asc.js');
  const config = join('src', 'util', 'wasm', 'asconfig.json');
  for (const module of ['util/wasm/philox', 'data/wasm/resample']) {
    const files = [`src/${module}.ts`, '--outFile', `dist/${module}.wasm`];
    run(`compiling ${module} to WebAssembly`, 'node', [asc, ...files, '--config', config]);
  }
  bundlePage();
});
run('kernels', 'node', [join('bin', 'build-kernels.js')]);
