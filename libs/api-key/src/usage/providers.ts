import type { Provider } from '@nestjs/common';
import { KeyUsage } from './key-usage';
import { KeyUses } from './key-uses';
import { LastUsedWriter } from './last-used-writer';
import { UsageCounter } from './usage-counter';

export const USAGE_PROVIDERS: readonly Provider[] = [KeyUses, KeyUsage, UsageCounter, LastUsedWriter];
