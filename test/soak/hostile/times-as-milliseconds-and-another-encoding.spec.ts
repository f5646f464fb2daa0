import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(
  ['times as milliseconds', 'another encoding that a tenant left'],
  ['service', 'lifecycle', 'usage'],
);
