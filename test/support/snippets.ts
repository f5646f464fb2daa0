import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

const ROOT = join(__dirname, '..', '..');

/** A fenced code block of a page. */
export interface Snippet {
  /** Path of the page in the checkout. */
  readonly page: string;
  /** First line of the code on the page, from 1. */
  readonly line: number;
  /** The text after the backticks: the language, then optional words such as `run`. */
  readonly info: string;
  readonly code: string;
}

/** Returns the paths of all documentation pages in the checkout. */
export function documentationPages(): string[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' });
  const pages = docs.filter((name) => name.endsWith('.md')).map((name) => join('docs', name));
  return ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'libs/api-key/README.md', ...pages.sort()];
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

/** Returns the fenced code blocks of a page, in order. */
export function snippetsOf(page: string): Snippet[] {
  const text = readPage(page);
  return [...text.matchAll(/^```([^\n`]+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length + 1,
    info: String(match[1]),
    code: String(match[2]),
  }));
}

/**
 * Returns the code blocks that tests compile and run. The info string of these blocks is `ts run`.
 */
export function runnableSnippets(): Snippet[] {
  return documentationPages()
    .flatMap(snippetsOf)
    .filter(({ info }) => info === 'ts run');
}

/** Declarations that each snippet can use without an import. */
const GIVEN = `
declare var app: import('@nestjs/common').INestApplication;
declare var apiKeyService: import('nestjs-api-key').ApiKeyService;
declare var userId: string;
declare var id: string;
declare var key: string;
declare var url: string;
`;

const OPTIONS: ts.CompilerOptions = {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  moduleDetection: ts.ModuleDetectionKind.Force,
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts'],
  types: ['node'],
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  esModuleInterop: true,
  skipLibCheck: true,
  noEmit: true,
  paths: {
    'nestjs-api-key': [join(ROOT, 'libs/api-key/src/index.ts')],
    'nestjs-api-key/cli': [join(ROOT, 'libs/api-key/src/cli/index.ts')],
    'nestjs-api-key/management': [join(ROOT, 'libs/api-key/src/management/index.ts')],
  },
};

/**
 * Compiles texts against the source of the library. Each text is a separate module.
 * @param texts the texts by file name
 */
export function programOf(texts: ReadonlyMap<string, string>): ts.Program {
  const host = ts.createCompilerHost(OPTIONS);
  host.jsDocParsingMode = ts.JSDocParsingMode.ParseNone;
  const { readFile, fileExists, getSourceFile } = host;
  host.fileExists = (name) => texts.has(name) || fileExists(name);
  host.readFile = (name) => texts.get(name) ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const text = texts.get(name);
    return text === undefined
      ? getSourceFile(name, version, ...rest)
      : ts.createSourceFile(name, text, version);
  };
  return ts.createProgram([...texts.keys()], OPTIONS, host);
}

/**
 * Returns the compiler errors of snippets, each with page and line. Empty if there are no errors.
 */
export function compileErrors(snippets: readonly Snippet[]): string[] {
  const names = new Map(snippets.map((snippet) => [virtualName(snippet), snippet]));
  const given = join(ROOT, 'test', 'given-to-snippets.d.ts');
  const texts = new Map([...names].map(([name, { code }]) => [name, code]));
  const program = programOf(new Map([...texts, [given, GIVEN]]));
  return [...names].flatMap(([name, snippet]) => {
    const file = program.getSourceFile(name);
    const found = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    return found.map((diagnostic) => describe(diagnostic, snippet));
  });
}

function virtualName({ page, line }: Snippet): string {
  return join(ROOT, 'test', `${page.replaceAll('/', '-')}-${line}.ts`);
}

function describe({ file, start = 0, messageText }: ts.Diagnostic, snippet: Snippet): string {
  const line = snippet.line + (file?.getLineAndCharacterOfPosition(start).line ?? 0);
  return `${snippet.page}:${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
}

/** Compiles a snippet to CommonJS, as the body of an async function. */
export function asCommonJs({ code }: Snippet): string {
  return ts.transpileModule(code, {
    compilerOptions: { ...OPTIONS, module: ts.ModuleKind.CommonJS, inlineSourceMap: false },
  }).outputText;
}

/**
 * Returns the links of a page to files of the checkout. Each link has a path relative to the
 * checkout, and its anchor.
 */
export function linksOf(page: string): { readonly target: string; readonly anchor: string | undefined }[] {
  const links = [...readPage(page).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)];
  return links.map(([, path = '', anchor]) => ({
    target: path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path)),
    anchor,
  }));
}

/** Returns the anchors that GitHub creates for the headings of a page. */
export function anchorsOf(page: string): string[] {
  const headings = [...readPage(page).matchAll(/^#{1,6} (.+)$/gm)];
  return headings.map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
