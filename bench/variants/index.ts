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

/**
 * Functions that build the Nest module of a variant from the connection strings of a database and a
 * Redis.
 */
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

/** Variants that accept requests without a key. */
export const OPEN: readonly VariantName[] = ['bare', 'idle guard'];

/**
 * Variants that wait for PostgreSQL or Redis at each request. These variants are slower. Fewer
 * requests give the same precision.
 */
export const WAITING: readonly VariantName[] = [
  'ours, cold',
  'raw SELECT',
  'findOneBy',
  'passport',
  'rails design',
  'ours, pg limit',
  'ours, redis limit',
];

/** Variants that `--quick` omits. */
export const SLOW_TO_TELL: readonly VariantName[] = [
  'findOneBy',
  'passport',
  'throttler',
  'ours, pg limit',
  'ours, redis limit',
];

/** Variants that are omitted if there is no Redis. */
export const ON_REDIS: readonly VariantName[] = ['ours, redis limit'];
