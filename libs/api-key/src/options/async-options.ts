import type {
  FactoryProvider,
  InjectionToken,
  ModuleMetadata,
  OptionalFactoryDependency,
  Provider,
  Type,
} from '@nestjs/common';
import {
  API_KEY_OPTIONS,
  type ApiKeyOptions,
  type ApiKeyRootOptions,
  resolveOptions,
} from './api-key.options';

/** A class that computes the options, for `useClass` and `useExisting`. */
export interface ApiKeyOptionsFactory {
  createApiKeyOptions(): ApiKeyOptions | Promise<ApiKeyOptions>;
}

/** Options of `ApiKeyModule.forRootAsync`: `dataSource` at once, the others from one of the three. */
export interface ApiKeyAsyncOptions
  extends Pick<ModuleMetadata, 'imports'>,
    Pick<ApiKeyRootOptions, 'dataSource'> {
  /** What the factory is given, in order. */
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  /** Computes the options; with `inject`, `loadUser` can use any provider of `imports`. */
  useFactory?: FactoryProvider<ApiKeyOptions>['useFactory'];
  /** Is instantiated here, with providers of `imports`, and computes the options. */
  useClass?: Type<ApiKeyOptionsFactory>;
  /** A provider of `imports` that computes the options. */
  useExisting?: InjectionToken<ApiKeyOptionsFactory>;
}

/** The providers of the options. */
export function optionsProviders({
  inject = [],
  useFactory,
  useClass,
  useExisting,
}: ApiKeyAsyncOptions): Provider[] {
  if ([useFactory, useClass, useExisting].filter(Boolean).length !== 1)
    throw new Error('ApiKeyModule.forRootAsync takes one of useFactory, useClass and useExisting.');
  if (useFactory)
    return [
      {
        provide: API_KEY_OPTIONS,
        inject,
        useFactory: async (...injected: unknown[]) => resolveOptions(await useFactory(...injected)),
      },
    ];
  const factory = (useClass ?? useExisting) as InjectionToken<ApiKeyOptionsFactory>;
  const options: Provider = {
    provide: API_KEY_OPTIONS,
    inject: [factory],
    useFactory: async (from: ApiKeyOptionsFactory) => resolveOptions(await from.createApiKeyOptions()),
  };
  return useClass ? [useClass, options] : [options];
}
