import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/**
 * Folder whose functions are counted. The script fails if a function has more than MOST lines. The
 * lines of a class inside a function do not count for this function, because the methods of the
 * class are counted separately.
 */
const FOLDER = 'libs/api-key/src';
const MOST = 40;
const SHOWN = 5;

const files = readdirSync(FOLDER, { recursive: true })
  .filter((file) => /(?<!\.spec|\.d)\.ts$/.test(file))
  .map((file) => join(FOLDER, file));

/**
 * Returns the functions of a file that have a block: declarations, function expressions, methods,
 * constructors, accessors and arrow functions.
 */
function functionsOf(file) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const lineOf = (position) => source.getLineAndCharacterOfPosition(position).line + 1;
  const linesOf = (node) => lineOf(node.end) - lineOf(node.getStart()) + 1;
  const found = [];
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body && ts.isBlock(node.body)) {
      const lines = linesOf(node) - classesIn(node).reduce((sum, each) => sum + linesOf(each), 0);
      found.push({ place: `${file}:${lineOf(node.getStart())}`, name: nameOf(node), lines });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Returns the outermost classes inside a syntax node. */
function classesIn(node) {
  const found = [];
  const visit = (inner) => {
    if (ts.isClassLike(inner)) found.push(inner);
    else ts.forEachChild(inner, visit);
  };
  ts.forEachChild(node, visit);
  return found;
}

/**
 * Returns the name of a function, or the name of the variable or property that contains the
 * function.
 */
function nameOf(node) {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  return (node.name ?? node.parent.name)?.getText() ?? 'without a name';
}

const functions = files.flatMap(functionsOf).sort((a, b) => a.lines - b.lines);
const quantile = (part) => functions[Math.ceil(part * functions.length) - 1].lines;
console.log(
  `${functions.length} functions, lines: median ${quantile(0.5)}, 90 of 100 up to ${quantile(0.9)}, most ${quantile(1)}`,
);
for (const { place, name, lines } of functions.slice(-SHOWN).reverse())
  console.log(`${String(lines).padStart(4)}  ${place}  ${name}`);

const tooLong = functions.filter(({ lines }) => lines > MOST);
for (const { place, name, lines } of tooLong)
  console.error(`${place}: ${name} has ${lines} lines, of which ${MOST} are allowed`);
process.exitCode = tooLong.length > 0 ? 1 : 0;
