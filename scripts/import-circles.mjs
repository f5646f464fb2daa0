import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';

/**
 * Folders whose imports are checked. The script fails if files of one folder import each other in a
 * circle. Type imports count.
 */
const FOLDERS = process.argv.length > 2 ? process.argv.slice(2) : ['libs/api-key/src', 'bench'];

/**
 * Returns a map from each file of a folder to the files of the same folder that this file imports.
 */
function graphOf(folder) {
  const files = readdirSync(folder, { recursive: true })
    .filter((file) => /(?<!\.spec|\.d)\.ts$/.test(file) && !file.includes('node_modules'))
    .map((file) => resolve(folder, file));
  const known = new Set(files);
  const importsOf = (file) =>
    ts
      .preProcessFile(readFileSync(file, 'utf8'))
      .importedFiles.map(({ fileName }) => resolve(dirname(file), fileName))
      .map((path) => [`${path}.ts`, join(path, 'index.ts')].find((candidate) => known.has(candidate)))
      .filter((imported) => imported !== undefined);
  return new Map(files.map((file) => [file, importsOf(file)]));
}

/**
 * Returns a circle of imports as a path that starts and ends at the same file. Returns `null` if
 * there is no circle.
 * @param {ReadonlyMap<string, readonly string[]>} graph
 */
function circleOf(graph) {
  const done = new Set();
  const visit = (node, path) => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next, [...path, node]);
      if (circle) return circle;
    }
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const circle = visit(node, []);
    if (circle) return circle;
  }
  return null;
}

const circles = FOLDERS.map((folder) => circleOf(graphOf(folder))).filter((circle) => circle !== null);
for (const circle of circles)
  console.error(`These files import each other in a circle:\n  ${circle.join('\n  ')}`);
process.exitCode = circles.length;
