import { join } from 'node:path';
import type { DynamicModule } from '@nestjs/common';
import { ApiKeyModule, type ApiKeyOptions } from 'nestjs-api-key';
import ts from 'typescript';
import { programOf, readPage } from './support/snippets';

/** A row of a table in docs/options.md. */
interface Row {
  /** As `cache.size`. */
  readonly name: string;
  readonly byDefault: string;
  readonly range: string;
}

const ROWS: Row[] = [
  ...readPage('docs/options.md').matchAll(/^\| `([\w.]+)` \| (.+?) \| (.+?) \| .+ \|$/gm),
].map(([, name = '', byDefault = '', range = '']) => ({ name, byDefault, range }));

/** What the resolved options do not show: a function, what is wired elsewhere, and secrets. */
const NOT_SHOWN = /^(loadUser|dataSource|pepper\..+)$/;

/** What must be set beside an option, so that its whole range can be tried. */
const BESIDE: Readonly<Record<string, object>> = {
  'cache.leaseMs': { cache: { heartbeatMs: 50 } },
  'cache.heartbeatMs': { cache: { leaseMs: 60_000 } },
};

const RANGES = ROWS.flatMap(({ name, range }) => {
  const [, low, high, nullable] = /^(\d+) to (\d+)(, or null)?$/.exec(range) ?? [];
  return low === undefined ? [] : [{ name, low: Number(low), high: Number(high), nullable: !!nullable }];
});

/** Options of which a text or a truth value is chosen. */
const CHOICES = ROWS.filter(({ name }) => !NOT_SHOWN.test(name)).flatMap(({ name, range }) => {
  const choices = [...range.matchAll(/`([^`]+)`/g)].map(([, literal = '']) => parsed(literal));
  const known = choices.filter((choice) => choice !== undefined);
  return known.length === 0 ? [] : [{ name, choices: known }];
});

/** JSON, with or without backticks; undefined if it is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll('`', ''));
  } catch {
    return undefined;
  }
}

/** Every option that `forRoot` takes, as the public type has it. */
function optionNames(): string[] {
  const file = join(__dirname, 'options-page-names.ts');
  const text = `import type { ApiKeyRootOptions } from 'nestjs-api-key';\nexport declare const options: ApiKeyRootOptions;\n`;
  const program = programOf(new Map([[file, text]]));
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(file) as ts.SourceFile;
  const [options] = checker.getExportsOfModule(checker.getSymbolAtLocation(source) as ts.Symbol);
  const type = checker.getTypeOfSymbolAtLocation(options as ts.Symbol, source);
  return checker.getPropertiesOfType(type).flatMap((option) => {
    const fields = sectionFields(checker.getTypeOfSymbolAtLocation(option, source), checker);
    return fields.length === 0 ? [option.name] : fields.map((field) => `${option.name}.${field}`);
  });
}

/** The fields of a section: an interface of the library whose name ends in Options. */
function sectionFields(type: ts.Type, checker: ts.TypeChecker): string[] {
  const section = checker.getNonNullableType(type);
  if (!/Options$/.test(section.symbol?.name ?? '')) return [];
  return checker.getPropertiesOfType(section).map(({ name }) => name);
}

/** The options after their defaults, as the module wires them. */
function resolvedDefaults(): Record<string, unknown> {
  const found = valuesOf(ApiKeyModule.forRoot()).find((value) => Object.hasOwn(value, 'headerName'));
  if (!found) throw new Error('the module wires no options');
  return found as Record<string, unknown>;
}

/** Objects that providers of a module, and of those that it imports, are given. */
function valuesOf({ providers = [], imports = [] }: DynamicModule): object[] {
  const own = providers.flatMap((provider) =>
    'useValue' in provider && typeof provider.useValue === 'object' && provider.useValue
      ? [provider.useValue as object]
      : [],
  );
  const nested = imports.flatMap((each) => ('module' in each ? valuesOf(each) : []));
  return [...own, ...nested];
}

function at(options: unknown, name: string): unknown {
  return name.split('.').reduce((found, field) => (found as Record<string, unknown>)?.[field], options);
}

/** What the module says of an option; null if it accepts it. */
function problemOf(name: string, value: unknown): string | null {
  const [section = '', field] = name.split('.');
  const beside = (BESIDE[name] as Record<string, object> | undefined)?.[section];
  const options = { [section]: field === undefined ? value : { ...beside, [field]: value } };
  try {
    ApiKeyModule.forRoot(options as ApiKeyOptions);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('docs/options.md', () => {
  it('lists every option that forRoot takes, once', () => {
    expect(ROWS.map(({ name }) => name).sort()).toEqual(optionNames().sort());
  });

  it('lists ranges and choices', () => {
    expect(RANGES.length).toBeGreaterThan(18);
    expect(CHOICES.length).toBeGreaterThan(12);
  });

  it.each(ROWS.filter(({ name }) => !NOT_SHOWN.test(name)))('has the default of $name', ({
    name,
    byDefault,
  }) => {
    expect(at(resolvedDefaults(), name)).toEqual(parsed(byDefault));
  });

  it.each(RANGES)('has the range of $name: $low to $high', ({ name, low, high, nullable }) => {
    expect([problemOf(name, low), problemOf(name, high)]).toEqual([null, null]);
    for (const wrong of [low - 1, high + 1]) expect(problemOf(name, wrong)).not.toBeNull();
    expect(problemOf(name, null) === null).toBe(nullable);
  });

  it.each(CHOICES)('has the choices of $name: $choices', ({ name, choices }) => {
    for (const choice of choices) expect(problemOf(name, choice)).toBeNull();
    expect(problemOf(name, 'no such choice')).not.toBeNull();
  });
});
