// Cut a soundfont down to some of its programs, in mono. Run by soundfont.py:
//   node soundfont.mjs IN.sf2 OUT.sf2 NAME PROGRAM...
import { readFileSync, writeFileSync } from "node:fs";
import { SoundBankLoader } from "spessasynth_core";

// Generator numbers, SoundFont 2.04 specification, section 8.1.2.
const CHORUS_SEND = 15;
const REVERB_SEND = 16;
const PAN = 17;

const [input, output, name, ...programs] = process.argv.slice(2);
const wanted = new Set(programs.map(Number));
const bytes = readFileSync(input);
const bank = SoundBankLoader.fromArrayBuffer(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
);

for (const preset of [...bank.presets]) {
  const melodic = !preset.isGMGSDrum && preset.bankMSB === 0 && preset.bankLSB === 0;
  if (!melodic || !wanted.has(preset.program)) bank.deletePreset(preset);
}
bank.removeUnusedElements();

// A stereo sample is two zones of equal ranges, panned hard left and hard right. All rendering
// here is mono, so the left one stays, in the middle, and the right one goes.
const ranges = (zone) => JSON.stringify([zone.keyRange, zone.velRange]);
for (const instrument of bank.instruments) {
  const left = new Set(
    instrument.zones.filter((zone) => zone.getGenerator(PAN, 0) === -500).map(ranges),
  );
  for (let k = instrument.zones.length - 1; k >= 0; k--) {
    const zone = instrument.zones[k];
    if (zone.getGenerator(PAN, 0) === 500 && left.has(ranges(zone))) instrument.deleteZone(k, true);
    else zone.setGenerator(PAN, null);
  }
}
bank.removeUnusedElements();

// Dry: a room belongs to an experiment, where it can be chosen, and not to the font.
for (const part of [...bank.presets, ...bank.instruments]) {
  for (const zone of [part.globalZone, ...part.zones]) {
    zone.setGenerator(CHORUS_SEND, null);
    zone.setGenerator(REVERB_SEND, null);
  }
}

bank.soundBankInfo.name = name;
writeFileSync(output, Buffer.from(bank.writeSF2()));
for (const preset of bank.presets) console.log(preset.program, preset.name);
