import { readFileSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Writes the address of the repository into the package before it is packed, and makes the links of
 * its page absolute, because npm shows the page without the repository.
 *
 * `node scripts/prepare-release.mjs https://github.com/owner/name v0.1.0 [folder of the package]`
 */
const DIRECTORY = 'libs/api-key';
const [repository, tag, folder = fileURLToPath(new URL(`../${DIRECTORY}`, import.meta.url))] =
  process.argv.slice(2);
if (!/^https:\/\/[\w.-]+\/[\w.-]+\/[\w.-]+$/.test(repository ?? '') || !tag)
  throw new Error('Give the address of the repository, such as https://github.com/owner/name, and the tag.');

function change(name, changed) {
  const file = join(folder, name);
  writeFileSync(file, changed(readFileSync(file, 'utf8')));
}

change('package.json', (text) => {
  const { name, version, description, ...rest } = JSON.parse(text);
  const addresses = {
    repository: { type: 'git', url: `git+${repository}.git`, directory: DIRECTORY },
    homepage: `${repository}/blob/${tag}/README.md`,
    bugs: `${repository}/issues`,
  };
  return `${JSON.stringify({ name, version, description, ...addresses, ...rest }, null, 2)}\n`;
});

change('README.md', (text) =>
  text.replaceAll(
    /\]\((?!https?:)([^)#]+)/g,
    (_, path) => `](${repository}/blob/${tag}/${posix.join(DIRECTORY, path)}`,
  ),
);
