import type { Provider } from '@nestjs/common';
import { KeyEviction } from '../model/key-eviction';
import { KeyStore } from './key-store';
import { Verification } from './verification';

export const LOOKUP_PROVIDERS: readonly Provider[] = [
  KeyStore,
  Verification,
  { provide: KeyEviction, useExisting: Verification },
];
