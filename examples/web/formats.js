/** 12,345 */
export const asCount = new Intl.NumberFormat("en").format;

/** 12.3% */
export const asPercent = new Intl.NumberFormat("en", {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
}).format;
