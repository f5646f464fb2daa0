import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['all at once'], ['service', 'usage']);
