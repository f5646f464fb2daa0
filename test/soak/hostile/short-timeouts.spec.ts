import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['short time-outs'], ['service', 'lifecycle']);
