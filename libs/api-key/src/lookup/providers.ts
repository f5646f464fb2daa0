import type { Provider } from '@nestjs/common';
import { KeyStore } from './key-store';
import { Verification } from './verification';

export const LOOKUP_PROVIDERS: readonly Provider[] = [KeyStore, Verification];
