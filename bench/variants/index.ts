import type { DynamicModule } from '@nestjs/common';
import { bare } from './bare';
import { findOneBy } from './find-one-by';
import { idleGuard } from './idle-guard';
import { ours, oursCold, oursWithScopes } from './ours';
import { passport } from './passport';
import { railsDesign } from './rails-design';
import { rawSelect } from './raw-select';

/** Each variant as a Nest module on a database, given by its connection string. */
export const VARIANTS = {
  bare,
  'idle guard': idleGuard,
  ours,
  'ours, scopes': oursWithScopes,
  'ours, cold': oursCold,
  'raw SELECT': rawSelect,
  findOneBy,
  passport,
  'rails design': railsDesign,
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
];
