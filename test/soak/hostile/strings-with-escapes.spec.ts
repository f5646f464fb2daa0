import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('strings with escapes', ['service', 'lifecycle', 'usage', 'policy']);
