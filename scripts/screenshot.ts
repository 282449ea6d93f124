/** `bun scripts/screenshot.ts URL FILE [light|dark] [WIDTH]`: a page as Chromium shows it after twelve seconds. */
import { chromium } from "playwright-core";

const [url = "", file = "", colorScheme = "dark", width = "1060"] = process.argv.slice(2);
if (url === "" || file === "") {
  console.error("bun scripts/screenshot.ts URL FILE [light|dark] [WIDTH]");
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const page = await browser.newPage({
  viewport: { width: Number(width), height: 800 },
  colorScheme: colorScheme === "light" ? "light" : "dark",
});
const problems: string[] = [];
page.on("pageerror", (error) => problems.push(error.message));
page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
await page.goto(url);
/** Long enough for a few events, echoes and requests to fill the plots. */
const watchMs = 12_000;
await page.waitForTimeout(watchMs);
await page.screenshot({ path: file, fullPage: true });
await browser.close();
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
