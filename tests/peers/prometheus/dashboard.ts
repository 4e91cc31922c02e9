// Grafana's own types, as JSON has them: the smoke test gives its dashboard as a literal of `Dashboard`.
import type * as common from "@grafana/grafana-foundation-sdk/common";
import type * as grafana from "@grafana/grafana-foundation-sdk/dashboard";
import type * as heatmap from "@grafana/grafana-foundation-sdk/heatmap";
import type * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import type * as stat from "@grafana/grafana-foundation-sdk/stat";
import type * as statetimeline from "@grafana/grafana-foundation-sdk/statetimeline";
import type * as table from "@grafana/grafana-foundation-sdk/table";
import type * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

// Enums are plain strings and numbers in JSON; methods are not there.
type Plain<T> = 0 extends 1 & T
  ? any
  : T extends string
    ? string extends T ? string : `${T}`
    : T extends number
      ? number extends T ? number : T
      : T extends boolean | null | undefined
        ? T
        : T extends (infer U)[]
          ? Plain<U>[]
          : { [K in keyof T as K extends `_${string}` ? never : K]: Plain<T[K]> };

type Base = Omit<Plain<grafana.Panel>, "type" | "targets" | "options" | "fieldConfig">;
type Defaults = Omit<Plain<grafana.FieldConfig>, "custom">;

// A panel with the options, the custom field settings and the queries of its kind.
interface Of<Kind, Options, Custom> extends Base {
  type: Kind;
  targets: Plain<prometheus.Dataquery>[];
  options: Plain<Options>;
  fieldConfig: {
    defaults: Defaults & { custom?: Plain<Custom> };
    overrides: Plain<grafana.FieldConfigSource["overrides"]>;
  };
}

type Panel =
  | Of<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | Of<"stat", stat.Options, never>
  | Of<"state-timeline", statetimeline.Options, statetimeline.FieldConfig>
  | Of<"table", table.Options, common.TableFieldOptions>
  | Of<"timeseries", timeseries.Options, timeseries.FieldConfig>;

export interface Dashboard extends Omit<Plain<grafana.Dashboard>, "panels"> {
  panels: (Panel | Plain<grafana.RowPanel>)[];
}
