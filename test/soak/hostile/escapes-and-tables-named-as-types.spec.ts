import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(
  ['strings with escapes', 'tables that have names of types'],
  ['service', 'lifecycle', 'usage', 'quota', 'policy'],
);
