import type { DynamicModule, Type } from '@nestjs/common';

/** A module of an application, as `NestFactory` takes it. */
export type AppModule = Type | DynamicModule;

/** What `@Module` stores on a class, under these names. */
const METADATA = ['imports', 'controllers', 'providers', 'exports'];
/** Names that Node adds to the exports of a CommonJS file. */
const ADDED = ['__esModule', 'module.exports'];

/**
 * Finds the module that a file exports: `AppModule`, else the default export, else the only module.
 * @throws Error that says what the file exports
 */
export function moduleOf(file: object): AppModule {
  const exported = exportsOf(file);
  const modules = Object.fromEntries(Object.entries(exported).filter(([, value]) => isModule(value)));
  const [only, ...others] = new Set(Object.values(modules));
  const module = modules.AppModule ?? modules.default ?? (others.length === 0 ? only : undefined);
  if (module) return module as AppModule;
  const names = Object.keys(exported)
    .filter((name) => !ADDED.includes(name))
    .sort();
  throw new Error(
    `The file of --app must export one module, AppModule or a default module. It exports ${names.join(', ') || 'nothing'}. If a function makes the module, export what the function returns.`,
  );
}

/** `import()` returns the exports of a CommonJS file as its default export. */
function exportsOf(file: object): object {
  const { default: standard, ...named }: { readonly default?: unknown } = file;
  return typeof standard === 'object' && !isModule(standard) ? { ...named, ...standard } : file;
}

/** Whether a value is a class with something in its `@Module`, or a dynamic module. */
function isModule(value: unknown): boolean {
  if (typeof value === 'function') return METADATA.some((name) => Reflect.hasOwnMetadata(name, value));
  return typeof Object(value).module === 'function';
}
