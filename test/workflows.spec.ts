import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(__dirname, '../.github/workflows');
const WORKFLOWS = readdirSync(FOLDER);

const read = (file: string) => readFileSync(join(FOLDER, file), 'utf8');

/** The text of each job of a workflow by its name. */
function jobsOf(file: string): Map<string, string> {
  const [, jobs = ''] = read(file).split(/^jobs:\n/m);
  const parts = jobs.split(/^ {2}([\w-]+):\n/m).slice(1);
  return new Map(parts.flatMap((name, at) => (at % 2 === 0 ? [[name, parts[at + 1] ?? '']] : [])));
}

/** The commands and actions of a job, without comments. */
const stepsOf = (job: string) => job.replaceAll(/^\s*#.*$/gm, '');

it.each(WORKFLOWS)('%s names each action by the hash of a commit, and its version', (file) => {
  const uses = read(file).match(/uses: .*/g) ?? [];
  expect(uses.length).toBeGreaterThan(0);
  for (const use of uses) expect(use).toMatch(/^uses: actions\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

it.each(WORKFLOWS)('%s gives its jobs the right to read, and no token to what they check out', (file) => {
  expect(read(file)).toMatch(/^permissions:\n {2}contents: read\n\n/m);
  const checkouts = read(file).match(/uses: actions\/checkout.*\n\s+with:\n\s+persist-credentials: false\n/g);
  expect(checkouts).toHaveLength(read(file).match(/uses: actions\/checkout/g)?.length ?? 0);
});

describe('the job that may publish', () => {
  const jobs = jobsOf('release.yml');
  const withRights = [...jobs].filter(([, job]) => /: write|secrets\.|environment:/.test(stepsOf(job)));

  it('is the only one with rights or secrets', () => {
    expect([...jobs.keys()]).toEqual(['check', 'pack', 'try', 'publish']);
    expect(withRights.map(([name]) => name)).toEqual(['publish']);
    expect(jobs.get('publish')).toMatch(/permissions:\n {6}id-token: write\n {4}\w/);
  });

  it('waits for the tests and for the tries of the tarball, and runs no code of the repository or of a dependency', () => {
    const publish = stepsOf(jobs.get('publish') ?? '');
    expect(publish).toContain('needs: [check, pack, try]');
    expect(publish).not.toMatch(/checkout|npm (?:ci|install|run|exec|test)|npx|\.ci\/|node /);
    expect(publish.match(/run: .*/g)).toEqual([
      'run: echo "$SHA256  package.tgz" | sha256sum --check --strict',
      'run: npm publish ./package.tgz --ignore-scripts --provenance --access public --tag "$DIST_TAG"',
    ]);
  });

  it('publishes the tarball that the job without rights packed and another tried, and no other', () => {
    const [pack = '', tried = ''] = [jobs.get('pack'), jobs.get('try')];
    const check = 'run: echo "$SHA256  package.tgz" | sha256sum --check --strict';
    expect(tried.indexOf(check)).toBeGreaterThan(0);
    expect(tried.indexOf('pack:check -- --all --tarball package.tgz')).toBeGreaterThan(tried.indexOf(check));
    expect(pack).toMatch(/sha256=\$\(sha256sum package\.tgz/);
    expect(pack).toMatch(/path: package\.tgz/);
    expect(jobs.get('publish')).toMatch(/SHA256: \$\{\{ needs\.pack\.outputs\.sha256 \}\}/);
  });
});
