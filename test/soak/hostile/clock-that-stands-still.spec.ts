import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(
  ['a clock that stands still'],
  ['service', 'lifecycle', 'quota', 'shared-limits', 'policy', 'environments'],
);
