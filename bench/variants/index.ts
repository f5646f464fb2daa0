import type { DynamicModule } from '@nestjs/common';
import { bare } from './bare';
import { findOneBy } from './find-one-by';
import { idleGuard } from './idle-guard';
import {
  ours,
  oursCold,
  oursWithLimit,
  oursWithPostgresLimit,
  oursWithRedisLimit,
  oursWithThrottler,
} from './ours';
import { passport } from './passport';
import { railsDesign } from './rails-design';
import { rawSelect } from './raw-select';

type Variant = (databaseUrl: string, redisUrl: string | null) => DynamicModule | Promise<DynamicModule>;

/** Each variant as a Nest module on a database and a Redis, given by their connection strings. */
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
  'ours, redis limit': oursWithRedisLimit,
} satisfies Record<string, Variant>;

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
  'ours, redis limit',
];

/** Left out of `--quick`. */
export const SLOW_TO_TELL: readonly VariantName[] = [
  'findOneBy',
  'passport',
  'throttler',
  'ours, pg limit',
  'ours, redis limit',
];

/** Left out where there is no Redis. */
export const ON_REDIS: readonly VariantName[] = ['ours, redis limit'];
