import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(
  ['all as PostgreSQL sends it', 'errors in another language'],
  ['service', 'lifecycle', 'usage'],
);
