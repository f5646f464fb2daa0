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
  type ResolvedApiKeyOptions,
  resolveOptions,
} from './api-key.options';

/** A class that computes the options, for `useClass` and `useExisting`. */
export interface ApiKeyOptionsFactory {
  createApiKeyOptions(): ApiKeyOptions | Promise<ApiKeyOptions>;
}

/**
 * Options of `ApiKeyModule.forRootAsync`. `dataSource` is set here. Exactly one of `useFactory`,
 * `useClass` and `useExisting` computes the other options.
 */
export interface ApiKeyAsyncOptions
  extends Pick<ModuleMetadata, 'imports'>,
    Pick<ApiKeyRootOptions, 'dataSource'> {
  /** The providers that `useFactory` gets as arguments, in this order. */
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  /** Computes the options. With `inject`, `loadUser` can use any provider of `imports`. */
  useFactory?: FactoryProvider<ApiKeyOptions>['useFactory'];
  /**
   * A class that computes the options. Nest creates an instance here, with the providers of
   * `imports`.
   */
  useClass?: Type<ApiKeyOptionsFactory>;
  /** A provider of `imports` that computes the options. */
  useExisting?: InjectionToken<ApiKeyOptionsFactory>;
}

const GIVEN = Symbol('nestjs-api-key given options');

/**
 * Gives each application its own copy of the options, also if several applications import the same
 * module. The options tell in `authenticationBy` which application authenticated a request.
 */
export function optionsOfEach(given: ResolvedApiKeyOptions): Provider[] {
  return [
    { provide: GIVEN, useValue: given },
    {
      provide: API_KEY_OPTIONS,
      inject: [GIVEN],
      useFactory: (options: ResolvedApiKeyOptions) => Object.freeze({ ...options }),
    },
  ];
}

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
        useFactory: async (...injected: unknown[]) => resolveOptions(returned(await useFactory(...injected))),
      },
    ];
  const factory = (useClass ?? useExisting) as InjectionToken<ApiKeyOptionsFactory>;
  const options: Provider = {
    provide: API_KEY_OPTIONS,
    inject: [factory],
    useFactory: async (from: ApiKeyOptionsFactory) => resolveOptions(returned(await createdBy(from))),
  };
  return useClass ? [useClass, options] : [options];
}

/** @throws Error if the provider of `useClass` or `useExisting` cannot compute options */
function createdBy(from: ApiKeyOptionsFactory): ReturnType<ApiKeyOptionsFactory['createApiKeyOptions']> {
  if (typeof from?.createApiKeyOptions === 'function') return from.createApiKeyOptions();
  throw new Error(
    'ApiKeyModule: useClass and useExisting of forRootAsync need a provider with the method createApiKeyOptions, which returns the options. ' +
      'To compute them from another provider, use useFactory and inject',
  );
}

/** @throws Error if a factory forgot to return its options, or returned what belongs beside it */
function returned(options: ApiKeyOptions | undefined): ApiKeyOptions {
  if (options === undefined)
    throw new Error('ApiKeyModule: the factory of forRootAsync returned no options: return an object');
  if (Object.hasOwn(Object(options), 'dataSource'))
    throw new Error(
      'ApiKeyModule: option "dataSource" has no effect in the result of a factory: pass it to forRootAsync, beside useFactory',
    );
  return options;
}
