import { ESLint } from 'eslint';

/** Reads `[file, source]` pairs as JSON from its first argument; prints, for each, whether importing that source there fails the lint. */
const pairs = JSON.parse(process.argv[2]);
const eslint = new ESLint();
const verdicts = [];
for (const [filePath, source] of pairs) {
  const [result] = await eslint.lintText(`import { x } from '${source}';\n`, { filePath });
  verdicts.push(result.messages.some(({ ruleId }) => ruleId === 'no-restricted-imports'));
}
process.stdout.write(JSON.stringify(verdicts));
