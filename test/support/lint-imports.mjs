import { ESLint } from 'eslint';

/**
 * Reads `[file, source]` pairs as JSON from the first argument. Prints a JSON array with a boolean
 * for each pair: whether the import of the source in the file fails the lint.
 */
const pairs = JSON.parse(process.argv[2]);
const eslint = new ESLint();
const verdicts = [];
for (const [filePath, source] of pairs) {
  const [result] = await eslint.lintText(`import { x } from '${source}';\n`, { filePath });
  verdicts.push(result.messages.some(({ ruleId }) => ruleId === 'no-restricted-imports'));
}
process.stdout.write(JSON.stringify(verdicts));
