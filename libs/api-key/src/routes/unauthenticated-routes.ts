import { Logger } from '@nestjs/common';
import { type RouteContext, routeName } from '../transport/route-method';

/** Logs each route once on which a guard ran before any `ApiKeyGuard`. */
export class UnauthenticatedRoutes {
  private readonly logger: Logger;
  private readonly reported = new Set<string>();

  /** @param guard the name of the guard */
  constructor(private readonly guard: string) {
    this.logger = new Logger(guard);
  }

  report(context: RouteContext): void {
    const route = routeName(context);
    if (this.reported.has(route)) return;
    this.reported.add(route);
    this.logger.error(
      `${route} refuses every request, because no ApiKeyGuard ran before ${this.guard}: put ApiKeyGuard first, ` +
        'or mark the route @Public()',
    );
  }
}
