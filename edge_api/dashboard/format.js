// Numbers, money, times as people read them. Pure: texts from values, null for what is not known.

export const NOTHING = "–";

export const count = (number) => (number === null || number === undefined ? NOTHING : number.toLocaleString("en"));
export const sum = (counts) => Object.values(counts).reduce((total, number) => total + number, 0);
export const perSecond = (rate) => (rate === null || rate === undefined ? NOTHING
  : `${rate.toLocaleString("en", { maximumFractionDigits: rate < 10 ? 2 : 0 })}/s`);
export const percent = (share) => (share === null || share === undefined ? NOTHING
  : share.toLocaleString("en", { style: "percent", maximumFractionDigits: 1 }));

// Minor units as an amount, exactly, however large: `minor` is a number, a BigInt, or digits in a text.
export function money(minor, currency) {
  if (minor === null || minor === undefined) return NOTHING;
  let format;
  try {
    format = new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "code" });
  } catch {
    return `${minor} minor units of ${currency}`; // a code that this browser does not know
  }
  const digits = format.resolvedOptions().maximumFractionDigits;
  const text = String(minor).replace("-", "").padStart(digits + 1, "0");
  const whole = text.slice(0, text.length - digits).replace(/\B(?=(\d{3})+$)/g, ",");
  return `${BigInt(minor) < 0n ? "-" : ""}${whole}${digits ? `.${text.slice(-digits)}` : ""} ${currency}`;
}

// A duration in seconds.
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return both(minutes, "min", Math.floor(seconds % 60), "s");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? both(hours, "h", minutes % 60, "min") : both(Math.floor(hours / 24), "d", hours % 24, "h");
}

const both = (great, greatUnit, small, smallUnit) => `${great} ${greatUnit}${small ? ` ${small} ${smallUnit}` : ""}`;

// How long ago a time of the ledger's is, by this machine's clock, to the minute: what is shown for long does not flicker.
export function ago(iso) {
  const minutes = Math.floor((Date.now() - Date.parse(iso)) / 60_000);
  return minutes < 1 ? "less than a minute" : lasting(minutes * 60);
}

// A time of the ledger's in the reader's zone.
export const timeOf = (iso) => new Date(iso).toLocaleString("sv", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

// The same, of today without its date.
export const shortTimeOf = (iso) => (new Date(iso).toDateString() === new Date().toDateString() ? clock(new Date(iso)) : timeOf(iso));

// A Date as HH:MM:SS of the reader's zone.
export const clock = (date) => date.toTimeString().slice(0, 8);
