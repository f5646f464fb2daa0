import type { DynamicModule } from '@nestjs/common';
import { bare } from './bare';
import { findOneBy } from './find-one-by';
import { idleGuard } from './idle-guard';
import { ours, oursCold, oursWithLimit, oursWithPostgresLimit, oursWithThrottler } from './ours';
import { passport } from './passport';
import { railsDesign } from './rails-design';
import { rawSelect } from './raw-select';

/** Each variant as a Nest module on a database, given by its connection string. */
export const VARIANTS = {
  bare,
  'idle guard': idleGuard,
  ours,
  'ours, limit': oursWithLimit,
  'ours, cold': oursCold,
  'raw SELECT': rawSelect,
  findOneBy,
  passport,
  'rails design': railsDesign,
  throttler: oursWithThrottler,
  'ours, pg limit': oursWithPostgresLimit,
} satisfies Record<string, (databaseUrl: string) => DynamicModule | Promise<DynamicModule>>;

export type VariantName = keyof typeof VARIANTS;

/** Those that let everyone in. */
export const OPEN: readonly VariantName[] = ['bare', 'idle guard'];

/** Those that wait for PostgreSQL at each request: slower, so that fewer requests tell as much. */
export const WAITING: readonly VariantName[] = [
  'ours, cold',
  'raw SELECT',
  'findOneBy',
  'passport',
  'rails design',
  'ours, pg limit',
];

/** Left out of `--quick`. */
export const SLOW_TO_TELL: readonly VariantName[] = ['throttler', 'ours, pg limit'];
