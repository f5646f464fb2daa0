import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const ROOT = join(__dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const ASSURANCE = 'docs/security/assurance.md';
const PAGES = ['threat-model', 'timing', 'owasp', 'asvs'].map((name) => `docs/security/${name}.md`);

/** The rows of the first table: a failure, a test, its file. */
const ROWS = [...read(ASSURANCE).matchAll(/^\| (.+) \| (.+) \| (\S+\.spec\.ts) \|$/gm)].map(
  ([, failure = '', test = '', file = '']) => ({ failure, test, file }),
);

/** A title in `code` before a file in brackets. */
const CITED = PAGES.flatMap((page) =>
  [...read(page).matchAll(/`([^`]+)` ?\n?\(([\w./-]+\.spec\.ts)\)/g)].map(([, test = '', file = '']) => ({
    page,
    test,
    file,
  })),
);

const SKIPPED = /^(?:x(?:it|test|describe)|(?:it|test|describe)\.skip)\b/;

/**
 * Titles of the tests and groups in a file, none of which is skipped everywhere; `%s` stands for
 * what a template fills in.
 */
function titlesIn(source: string): string[] {
  const titles: string[] = [];
  const testers = new Set(['it', 'test', 'describe']);
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && SKIPPED.test(node.expression.getText())) return;
    if (ts.isVariableDeclaration(node) && node.initializer && isOneOfTwo(node.initializer, testers))
      testers.add(node.name.getText());
    if (ts.isCallExpression(node) && isTester(node.expression, testers))
      titles.push(...textOf(node.arguments[0]));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('x.spec.ts', source, ts.ScriptTarget.Latest, true));
  return titles;
}

/** `it`, `test`, `describe`, or what `each` of a table makes of it. */
function isTester(called: ts.Node, testers: ReadonlySet<string>): boolean {
  if (ts.isIdentifier(called)) return testers.has(called.text);
  if (ts.isExpression(called) && concurrentOf(called) !== called)
    return isTester(concurrentOf(called), testers);
  if (!ts.isCallExpression(called) || !ts.isPropertyAccessExpression(called.expression)) return false;
  const { name, expression } = called.expression;
  return name.text === 'each' && isTester(concurrentOf(expression), testers);
}

/** `it` of `it.concurrent`. */
function concurrentOf(called: ts.Expression): ts.Expression {
  if (!ts.isPropertyAccessExpression(called) || called.name.text !== 'concurrent') return called;
  return called.expression;
}

/** As a test that runs where something is installed: `isThere ? it : it.skip`. */
function isOneOfTwo(value: ts.Expression, testers: ReadonlySet<string>): boolean {
  return (
    ts.isConditionalExpression(value) &&
    [value.whenTrue, value.whenFalse].some((one) => isTester(one, testers))
  );
}

function textOf(title: ts.Expression | undefined): string[] {
  if (title === undefined) return [];
  if (ts.isStringLiteralLike(title)) return [title.text];
  if (!ts.isTemplateExpression(title)) return [];
  return [title.head.text + title.templateSpans.map(({ literal }) => `%s${literal.text}`).join('')];
}

const isTitle = (text: string, file: string) =>
  titlesIn(read(file)).some((title) => title.startsWith(text) || title.endsWith(text));

it('a comment, a table row, a string and a skipped test are not titles', () => {
  // A text that is read and never run: what it skips is no test of ours.
  const source = `
    // it('a')
    const b = 'b';
    describe.skip('c', () => it('d', b));
    it('e', b);
    it.each([['f']])('g %s', () => expect('h').toBe(b));
    const onLinux = isLinux ? it : it.skip;
    onLinux('i', b);
    describe.each(['j'])(\`k \${b} l\`, b);
    it.concurrent('m', b);
    it.concurrent.each([['n']])('o %s', b);`;
  expect(titlesIn(source)).toEqual(['e', 'g %s', 'i', 'k %s l', 'm', 'o %s']);
});

it('the pages of docs/security name a test for each claim', () => {
  expect(CITED.length).toBeGreaterThan(190);
  expect(new Set(CITED.map(({ page }) => page))).toEqual(new Set(PAGES));
});

it.each(CITED)('$page names a test that exists: $test in $file', ({ test, file }) => {
  expect(isTitle(test, file)).toBe(true);
});

it('docs/security/assurance.md names a test for each failure', () => {
  expect(ROWS.length).toBeGreaterThan(40);
});

it.each(ROWS)('docs/security/assurance.md names a test that exists for: $failure', ({ test, file }) => {
  expect(isTitle(test, file)).toBe(true);
});
