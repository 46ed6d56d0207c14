// Holds dashboards to Grafana's own types, of the oldest version that publishes them and of the newest: node check.mjs FILE..
//
// Each part of a dashboard is written out as a TypeScript literal of the type that Grafana gives it, and the compiler is asked.
// A property that Grafana does not know is an error, and so is a value that is none of its words. Exits 1 with a line for each.
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));

// The kinds of panels, as the files of Grafana's types are called.
const KINDS = {
  bargauge: "BarGauge",
  stat: "Stat",
  "state-timeline": "StateTimeline",
  table: "Table",
  timeseries: "TimeSeries",
};
// The newest has the types of Prometheus' queries in another package, which needs React.
const VERSIONS = [
  { packaged: "grafana-schema-10", query: "dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen" },
  { packaged: "@grafana/schema" },
];

// JSON has words where the types have members of an enumeration. Grafana fills in the options of a panel that are left out.
const PRELUDE = `
type Json<T> = 0 extends 1 & T ? any : T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
type Some<T> = T extends (infer E)[] ? Some<E>[] : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;
`;
// What annotations and variables of Prometheus have beside what every data source's have; Grafana gives no types for these.
const OF_PROMETHEUS = ["definition", "expr", "step", "tagKeys", "textFormat", "titleFormat", "useValueForTime"];

let failed = false;
for (const version of VERSIONS) {
  for (const problem of process.argv.slice(2).flatMap((file) => problems(version, file))) {
    failed = true;
    console.error(problem);
  }
}
process.exit(failed ? 1 : 0);

function common(query) {
  return Object.fromEntries(Object.entries(query).filter(([key]) => !OF_PROMETHEUS.includes(key)));
}

function problems({ packaged, query }, file) {
  const released = JSON.parse(readFileSync(join(here, "node_modules", packaged, "package.json"))).version;
  const { panels, ...dashboard } = JSON.parse(readFileSync(file));
  const lines = [`import type * as grafana from "${packaged}";`];
  const places = [];
  for (const [kind, name] of Object.entries(KINDS)) {
    const folder = kind.replace("-", "");
    const types = `${packaged}/dist/esm/raw/composable/${folder}/panelcfg/x/${name}PanelCfg_types.gen`;
    lines.push(`import type * as ${folder} from "${types}";`);
  }
  if (query) lines.push(`import type * as prometheus from "${packaged}/${query}";`);
  lines.push(...PRELUDE.trim().split("\n"));
  const hold = (place, type, value) => {
    places[lines.length] = place;
    lines.push(`export const _${lines.length}: Json<${type}> = ${JSON.stringify(value)};`);
  };

  const { annotations, templating, ...rest } = dashboard;
  hold("the dashboard", "Omit<grafana.Dashboard, 'panels' | 'annotations' | 'templating'>", rest);
  for (const annotation of annotations.list) {
    hold(`annotation ${annotation.name}`, "grafana.AnnotationQuery", common(annotation));
  }
  for (const { current, ...variable } of templating.list) {
    hold(`variable ${variable.name}`, "grafana.VariableModel", common(variable));
    hold(`variable ${variable.name}: current`, "Some<grafana.VariableModel['current']>", current);
  }
  for (const panel of panels) {
    if (panel.type === "row") {
      hold(panel.title, "grafana.RowPanel", panel);
      continue;
    }
    const kind = panel.type.replace("-", "");
    const { options, fieldConfig, ...rest } = panel;
    const { custom, ...defaults } = fieldConfig.defaults;
    hold(panel.title, "Omit<grafana.Panel, 'options' | 'fieldConfig'>", rest);
    hold(`${panel.title}: options`, `Some<${kind}.Options>`, options);
    hold(`${panel.title}: defaults`, "grafana.FieldConfig", defaults);
    // Kinds that have nothing of their own have an empty one.
    const own = ["stat", "bargauge"].includes(kind) ? "Record<string, never>" : `Some<${kind}.FieldConfig>`;
    hold(`${panel.title}: custom`, own, custom);
    hold(`${panel.title}: overrides`, "grafana.FieldConfigSource['overrides']", fieldConfig.overrides);
    for (const target of panel.targets) {
      if (query) hold(`${panel.title}: ${target.refId}`, "prometheus.PrometheusDataQuery", target);
    }
  }

  const name = join(here, `${basename(file, ".json")}.ts`);
  const options = {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    types: [],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    paths: { "@grafana/schema": [join(here, "node_modules", packaged)] },
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (asked, ...others) =>
    asked === name ? ts.createSourceFile(name, lines.join("\n"), ts.ScriptTarget.ESNext) : getSourceFile(asked, ...others);
  const program = ts.createProgram([name], options, host);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start).line;
    const place = diagnostic.file?.fileName === name ? (places[line] ?? lines[line]) : diagnostic.file?.fileName;
    const said = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ");
    return `${basename(file)} for Grafana ${released}: ${place}: ${said}`;
  });
}
