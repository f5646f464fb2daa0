import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('German dates', ['service', 'lifecycle', 'usage']);
