import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('times as milliseconds', ['service', 'lifecycle', 'usage']);
