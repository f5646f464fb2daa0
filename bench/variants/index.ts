import type { DynamicModule } from '@nestjs/common';
import { bare } from './bare';
import { ours } from './ours';
import { railsDesign } from './rails-design';

/** Each variant as a Nest module on a database, given by its connection string. */
export const VARIANTS = {
  bare,
  ours,
  'rails design': railsDesign,
} satisfies Record<string, (databaseUrl: string) => DynamicModule>;

export type VariantName = keyof typeof VARIANTS;
