import { type CanActivate, Injectable } from '@nestjs/common';
import { ApplicationConfig } from '@nestjs/core';
import { guardBehind } from './guard-behind';
import { classOf, isOurs } from './route-access';

/**
 * The guards of the whole application. Nest reads them when it registers the routes. A guard that
 * is added later guards no route.
 */
@Injectable()
export class GlobalGuards {
  private registered: readonly unknown[] | null = null;

  constructor(private readonly application: ApplicationConfig) {}

  /**
   * Whether the guards are final. False in an application without HTTP, such as a script, which
   * may lack guards that the server adds by `useGlobalGuards`.
   */
  get areFinal(): boolean {
    return this.registered !== null;
  }

  /**
   * The guards, in the order in which Nest runs them. For a guard that a factory creates for each
   * request, the factory.
   */
  get all(): unknown[] {
    return [
      ...(this.registered ?? this.application.getGlobalGuards()),
      ...this.application.getGlobalRequestGuards().map((wrapper) => guardBehind(wrapper)),
    ];
  }

  /** Call this right before Nest registers the routes. Later guards of this library throw. */
  close(): void {
    const { application } = this;
    this.registered = [...application.getGlobalGuards()];
    const add = application.useGlobalGuards;
    application.useGlobalGuards = (...guards: CanActivate[]) => {
      const late = guards.find(isOurs);
      if (late) throw new Error(tooLate(late));
      add.apply(application, guards);
    };
  }
}

function tooLate(guard: CanActivate): string {
  const { name } = classOf(guard) as { readonly name?: string };
  return (
    `ApiKeyModule: ${name} was added to the global guards after the routes were registered, so that it would guard no route: ` +
    'call useGlobalGuards before init() and listen(), or provide the guard as APP_GUARD'
  );
}
