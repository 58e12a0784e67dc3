// Which of the SDK's globals a function needs: those whose names its bundle mentions. What is left out
// makes the component smaller and every start of it quicker; naming too many does no harm.

const NAMES = {
  abort: /\bAbort(?:Controller|Signal)\b/,
  clone: /\bstructuredClone\b/,
  crypto: /\bcrypto\b/,
  subtle: /\b(?:subtle|CryptoKey)\b/,
  encoding: /\bText(?:En|De)coder\b/,
  fetch: /\b(?:fetch|http|Blob|Request|Response|Headers)\b/,
  url: /\bURL(?:SearchParams)?\b/,
};

export function featuresOf(code) {
  const named = Object.keys(NAMES).filter((feature) => NAMES[feature].test(code));
  const whole = named.includes("subtle") && !named.includes("crypto") ? ["crypto", ...named] : named;
  return ["core", ...whole];
}
