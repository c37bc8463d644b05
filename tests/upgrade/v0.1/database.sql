--
-- PostgreSQL database dump
--


-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: studydirection; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.studydirection AS ENUM (
    'NOT_SET',
    'MINIMIZE',
    'MAXIMIZE'
);


--
-- Name: trialintermediatevaluetype; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.trialintermediatevaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG',
    'NAN'
);


--
-- Name: trialstate; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.trialstate AS ENUM (
    'RUNNING',
    'COMPLETE',
    'PRUNED',
    'FAIL',
    'WAITING'
);


--
-- Name: trialvaluetype; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.trialvaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG'
);


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: studies; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.studies (
    study_id integer NOT NULL,
    study_name character varying(512) NOT NULL
);


--
-- Name: studies_study_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.studies_study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: studies_study_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.studies_study_id_seq OWNED BY public.studies.study_id;


--
-- Name: study_directions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.study_directions (
    study_direction_id integer NOT NULL,
    direction public.studydirection NOT NULL,
    study_id integer NOT NULL,
    objective integer NOT NULL
);


--
-- Name: study_directions_study_direction_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.study_directions_study_direction_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: study_directions_study_direction_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.study_directions_study_direction_id_seq OWNED BY public.study_directions.study_direction_id;


--
-- Name: study_system_attributes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.study_system_attributes (
    study_system_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: study_system_attributes_study_system_attribute_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.study_system_attributes_study_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: study_system_attributes_study_system_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.study_system_attributes_study_system_attribute_id_seq OWNED BY public.study_system_attributes.study_system_attribute_id;


--
-- Name: study_user_attributes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.study_user_attributes (
    study_user_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: study_user_attributes_study_user_attribute_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.study_user_attributes_study_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: study_user_attributes_study_user_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.study_user_attributes_study_user_attribute_id_seq OWNED BY public.study_user_attributes.study_user_attribute_id;


--
-- Name: trial_heartbeats; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trial_heartbeats (
    trial_heartbeat_id integer NOT NULL,
    trial_id integer NOT NULL,
    heartbeat timestamp without time zone NOT NULL
);


--
-- Name: trial_heartbeats_trial_heartbeat_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_heartbeats_trial_heartbeat_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq OWNED BY public.trial_heartbeats.trial_heartbeat_id;


--
-- Name: trial_intermediate_values; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trial_intermediate_values (
    trial_intermediate_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    step integer NOT NULL,
    intermediate_value double precision,
    intermediate_value_type public.trialintermediatevaluetype NOT NULL
);


--
-- Name: trial_intermediate_values_trial_intermediate_value_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_intermediate_values_trial_intermediate_value_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq OWNED BY public.trial_intermediate_values.trial_intermediate_value_id;


--
-- Name: trial_params; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trial_params (
    param_id integer NOT NULL,
    trial_id integer,
    param_name character varying(512),
    param_value double precision,
    distribution_json text
);


--
-- Name: trial_params_param_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trial_params_param_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_params_param_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trial_params_param_id_seq OWNED BY public.trial_params.param_id;


--
-- Name: trial_system_attributes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trial_system_attributes (
    trial_system_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: trial_system_attributes_trial_system_attribute_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_system_attributes_trial_system_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq OWNED BY public.trial_system_attributes.trial_system_attribute_id;


--
-- Name: trial_user_attributes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trial_user_attributes (
    trial_user_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: trial_user_attributes_trial_user_attribute_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_user_attributes_trial_user_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq OWNED BY public.trial_user_attributes.trial_user_attribute_id;


--
-- Name: trial_values; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trial_values (
    trial_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    objective integer NOT NULL,
    value double precision,
    value_type public.trialvaluetype NOT NULL
);


--
-- Name: trial_values_trial_value_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trial_values_trial_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_values_trial_value_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trial_values_trial_value_id_seq OWNED BY public.trial_values.trial_value_id;


--
-- Name: trials; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trials (
    trial_id integer NOT NULL,
    number integer,
    study_id integer,
    state public.trialstate NOT NULL,
    datetime_start timestamp without time zone,
    datetime_complete timestamp without time zone
);


--
-- Name: trials_trial_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.trials_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trials_trial_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.trials_trial_id_seq OWNED BY public.trials.trial_id;


--
-- Name: version_info; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.version_info (
    version_info_id integer NOT NULL,
    schema_version integer,
    library_version character varying(256),
    CONSTRAINT version_info_version_info_id_check CHECK ((version_info_id = 1))
);


--
-- Name: studies study_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.studies ALTER COLUMN study_id SET DEFAULT nextval('public.studies_study_id_seq'::regclass);


--
-- Name: study_directions study_direction_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_directions ALTER COLUMN study_direction_id SET DEFAULT nextval('public.study_directions_study_direction_id_seq'::regclass);


--
-- Name: study_system_attributes study_system_attribute_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_system_attributes ALTER COLUMN study_system_attribute_id SET DEFAULT nextval('public.study_system_attributes_study_system_attribute_id_seq'::regclass);


--
-- Name: study_user_attributes study_user_attribute_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_user_attributes ALTER COLUMN study_user_attribute_id SET DEFAULT nextval('public.study_user_attributes_study_user_attribute_id_seq'::regclass);


--
-- Name: trial_heartbeats trial_heartbeat_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_heartbeats ALTER COLUMN trial_heartbeat_id SET DEFAULT nextval('public.trial_heartbeats_trial_heartbeat_id_seq'::regclass);


--
-- Name: trial_intermediate_values trial_intermediate_value_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_intermediate_values ALTER COLUMN trial_intermediate_value_id SET DEFAULT nextval('public.trial_intermediate_values_trial_intermediate_value_id_seq'::regclass);


--
-- Name: trial_params param_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_params ALTER COLUMN param_id SET DEFAULT nextval('public.trial_params_param_id_seq'::regclass);


--
-- Name: trial_system_attributes trial_system_attribute_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_system_attributes ALTER COLUMN trial_system_attribute_id SET DEFAULT nextval('public.trial_system_attributes_trial_system_attribute_id_seq'::regclass);


--
-- Name: trial_user_attributes trial_user_attribute_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_user_attributes ALTER COLUMN trial_user_attribute_id SET DEFAULT nextval('public.trial_user_attributes_trial_user_attribute_id_seq'::regclass);


--
-- Name: trial_values trial_value_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_values ALTER COLUMN trial_value_id SET DEFAULT nextval('public.trial_values_trial_value_id_seq'::regclass);


--
-- Name: trials trial_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trials ALTER COLUMN trial_id SET DEFAULT nextval('public.trials_trial_id_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES
	('v3.2.0.a');


--
-- Data for Name: studies; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.studies VALUES
	(1, 'done'),
	(2, 'done-veins'),
	(3, 'done-boost'),
	(4, 'half'),
	(5, 'several'),
	(6, 'paused'),
	(7, 'shot');


--
-- Data for Name: study_directions; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.study_directions VALUES
	(1, 'MAXIMIZE', 1, 0),
	(2, 'MAXIMIZE', 2, 0),
	(3, 'MINIMIZE', 3, 0),
	(4, 'MAXIMIZE', 4, 0),
	(5, 'MAXIMIZE', 5, 0),
	(6, 'MINIMIZE', 5, 1),
	(7, 'MAXIMIZE', 6, 0),
	(8, 'MAXIMIZE', 7, 0);


--
-- Data for Name: study_system_attributes; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.study_system_attributes VALUES
	(1, 1, 'study:metric_names', '["accuracy"]'),
	(2, 1, 'artifacts:a4d5aaba-ae33-43ac-9e99-926eb9ed07a7', '"{\"artifact_id\": \"a4d5aaba-ae33-43ac-9e99-926eb9ed07a7\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027742.8787203}"'),
	(3, 2, 'study:metric_names', '["iou"]'),
	(4, 2, 'artifacts:f30c2a3f-d567-42ba-a953-bcd9f555e86e', '"{\"artifact_id\": \"f30c2a3f-d567-42ba-a953-bcd9f555e86e\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027748.9182272}"'),
	(5, 3, 'study:metric_names', '["logloss"]'),
	(6, 3, 'artifacts:d8a27866-84af-4ac3-8005-d75b867d8bb3', '"{\"artifact_id\": \"d8a27866-84af-4ac3-8005-d75b867d8bb3\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027754.5910664}"'),
	(7, 1, 'artifacts:f54d6e7c-c4c0-406b-9ab8-33c2877fa460', '"{\"artifact_id\": \"f54d6e7c-c4c0-406b-9ab8-33c2877fa460\", \"filename\": \"features-1c3417684ad7a3e08d7111e6da80a147a0af70c39132a9f59db8e6bd6b91e9b2.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"8d3bf17dc789b499ed0be6d68450bb7e1a3c81b3f93bdf24e1334bc73e9a659a\", \"uploaded\": 1796027762.797581}"'),
	(8, 1, 'artifacts:4e8de311-8a81-4f02-a980-59e610b8900b', '"{\"artifact_id\": \"4e8de311-8a81-4f02-a980-59e610b8900b\", \"filename\": \"features-6a923801912d06bcc40a9d3393e8892f7473eb0cc5cca4e3068d143b35df459a.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"a8f8f023f28ae49024a3e4cbef1cbbaaf49ef39a81e3be0ccdb14deae31e873f\", \"uploaded\": 1796027762.8846097}"'),
	(9, 4, 'study:metric_names', '["accuracy"]'),
	(10, 4, 'artifacts:46da3f7a-5528-4969-a44b-2b724423052b', '"{\"artifact_id\": \"46da3f7a-5528-4969-a44b-2b724423052b\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027774.310053}"'),
	(11, 5, 'study:metric_names', '["accuracy", "parameters"]'),
	(12, 5, 'artifacts:a6630d9d-81c2-4a1d-92ab-cac70caf5c70', '"{\"artifact_id\": \"a6630d9d-81c2-4a1d-92ab-cac70caf5c70\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027804.3870595}"'),
	(13, 6, 'study:metric_names', '["accuracy"]'),
	(14, 6, 'artifacts:2c3bc3b9-6d70-4f26-a18f-b83f988c576f', '"{\"artifact_id\": \"2c3bc3b9-6d70-4f26-a18f-b83f988c576f\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027816.825917}"'),
	(15, 7, 'study:metric_names', '["iou"]'),
	(16, 7, 'artifacts:c2025451-4f73-4191-aad4-819eda0f1f0d', '"{\"artifact_id\": \"c2025451-4f73-4191-aad4-819eda0f1f0d\", \"filename\": \"digests.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"1d39e074472c4072d054d4c6a856327f0c218d146434a1a7a878780248094a22\", \"uploaded\": 1796027900.097627}"');


--
-- Data for Name: study_user_attributes; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.study_user_attributes VALUES
	(1, 1, 'venation:uid', '"0161aad1323a4199b542c6285cddcb74"'),
	(2, 1, 'created', '"2026-11-30T08:35:42.889005+00:00"'),
	(3, 1, 'venation:spec', '{"kind": "classifier", "data": "/data/leaves", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": null, "preset": "default", "config": {"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 1, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "train.lr", "when": {}, "low": 0.0003, "high": 0.01, "log": true, "type": "float"}, {"name": "train.weight_decay", "when": {}, "low": 0.001, "high": 0.2, "log": true, "type": "float"}, {"name": "gate", "when": {}, "type": "choice", "choices": ["none", "mean", "meanmax"]}, {"name": "train.label_smoothing", "when": {}, "type": "choice", "choices": [0.0, 0.1]}, {"name": "data.colour", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}, {"name": "data.min_area", "when": {}, "type": "choice", "choices": [0.6, 1.0]}, {"name": "data.blank", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}]}, "starts": [], "warm_start": null, "objectives": ["accuracy"], "constraints": [], "trials": 1, "timeout": null, "search": "trials", "sampler": "tpe", "pruner": "median", "eta": 3, "first_rung": null, "seed": 0, "heartbeat": 10.0}'),
	(4, 2, 'venation:uid', '"554416be6272402ab8f8ad4785f642b6"'),
	(5, 2, 'created', '"2026-11-30T08:35:48.928923+00:00"'),
	(6, 2, 'venation:spec', '{"kind": "decoder", "data": "/data/leaves", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": "done", "preset": "default", "config": {"encoder": {"name": "resnet18", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "unet", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 8, "gate_from": 6, "full_size": true, "detail": 16, "supervise": false}, "data": {"size": 128, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 4, "optimizer": "adamw", "lr": 0.004, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 1.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "decoder.widths.deform3", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.0625, 0.125, 0.25]}, {"name": "decoder.widths.deform5", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.0625, 0.125, 0.25]}, {"name": "decoder.widths.atrous2", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.0625, 0.125, 0.25]}, {"name": "decoder.widths.atrous3", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.0625, 0.125, 0.25]}, {"name": "decoder.widths.meanmax", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.0625, 0.125, 0.25]}, {"name": "decoder.levels.level1", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.5, 1.0, 2.0]}, {"name": "decoder.levels.level2", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.5, 1.0, 2.0]}, {"name": "decoder.levels.level3", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.5, 1.0, 2.0]}, {"name": "decoder.levels.level4", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.5, 1.0, 2.0]}, {"name": "decoder.levels.level5", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.5, 1.0, 2.0]}, {"name": "decoder.deform_kernel", "when": {"decoder.kind": ["mnsa"], "decoder.widths.deform5": [0.0625, 0.125, 0.25]}, "type": "choice", "choices": [3, 5, 7]}, {"name": "decoder.dilation", "when": {"decoder.kind": ["mnsa"], "decoder.widths.atrous3": [0.0625, 0.125, 0.25]}, "type": "choice", "choices": [3, 4, 6]}, {"name": "decoder.transfer", "when": {"decoder.kind": ["mnsa"]}, "type": "choice", "choices": [0.0, 0.125, 0.25, 0.5]}, {"name": "decoder.supervise", "when": {"decoder.kind": ["unet", "unet3p", "unet3p_ref", "mnsa"]}, "type": "choice", "choices": [false, true]}, {"name": "train.dice_weight", "when": {}, "type": "choice", "choices": [0.0, 0.5, 1.0, 2.0]}, {"name": "train.lr", "when": {}, "low": 0.001, "high": 0.01, "log": true, "type": "float"}]}, "starts": [], "warm_start": null, "objectives": ["iou"], "constraints": [], "trials": 6, "timeout": null, "search": "trials", "sampler": "tpe", "pruner": "rungs", "eta": 3, "first_rung": 1, "seed": 0, "heartbeat": 10.0}'),
	(7, 3, 'venation:uid', '"320b87a5d42e4edeaadd872a2d051159"'),
	(8, 3, 'created', '"2026-11-30T08:35:54.599884+00:00"'),
	(9, 3, 'venation:spec', '{"kind": "booster", "data": "/data/leaves", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": "done", "preset": "default", "config": {"encoder": {"name": "resnet18", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 128, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 50, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "logistic", "folds": 5, "rounds": 5, "patience": 30, "eta": 0.3, "reg_lambda": 0.01, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "boost.booster", "when": {}, "type": "choice", "choices": ["logistic", "gblinear", "gbtree", "dart", "head"]}, {"name": "boost.reg_lambda", "when": {"boost.booster": ["logistic", "gblinear", "gbtree", "dart"]}, "low": 1e-06, "high": 10.0, "log": true, "type": "float"}, {"name": "boost.reg_alpha", "when": {"boost.booster": ["gblinear", "gbtree", "dart"]}, "low": 1e-08, "high": 0.1, "log": true, "type": "float"}, {"name": "boost.eta", "when": {"boost.booster": ["gblinear", "gbtree", "dart"]}, "low": 0.01, "high": 1.0, "log": true, "type": "float"}, {"name": "boost.max_depth", "when": {"boost.booster": ["gbtree", "dart"]}, "low": 1, "high": 6, "log": false, "type": "int", "step": 1}, {"name": "boost.subsample", "when": {"boost.booster": ["gbtree", "dart"]}, "low": 0.4, "high": 1.0, "log": false, "type": "float"}, {"name": "boost.colsample", "when": {"boost.booster": ["gbtree", "dart"]}, "low": 0.05, "high": 1.0, "log": true, "type": "float"}, {"name": "boost.drop", "when": {"boost.booster": ["dart"]}, "low": 0.0, "high": 0.5, "log": false, "type": "float"}]}, "starts": [{"boost.booster": "head"}, {"boost.booster": "gblinear", "boost.reg_lambda": 0.001}], "warm_start": null, "objectives": ["logloss"], "constraints": [], "trials": 3, "timeout": null, "search": "trials", "sampler": "tpe", "pruner": "wilcoxon", "eta": 3, "first_rung": null, "seed": 0, "heartbeat": 10.0}'),
	(10, 1, 'started', '1796027761.414'),
	(11, 2, 'venation:base', '0'),
	(12, 2, 'started', '1796027761.858'),
	(13, 3, 'venation:base', '0'),
	(14, 3, 'started', '1796027762.707'),
	(18, 4, 'venation:uid', '"3cd8435847eb4962a3c031d8e463d6f6"'),
	(19, 4, 'created', '"2026-11-30T08:36:14.315532+00:00"'),
	(20, 4, 'venation:spec', '{"kind": "classifier", "data": "/data/leaves", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": null, "preset": "default", "config": {"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 300, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "train.lr", "when": {}, "low": 0.0003, "high": 0.01, "log": true, "type": "float"}, {"name": "train.weight_decay", "when": {}, "low": 0.001, "high": 0.2, "log": true, "type": "float"}, {"name": "gate", "when": {}, "type": "choice", "choices": ["none", "mean", "meanmax"]}, {"name": "train.label_smoothing", "when": {}, "type": "choice", "choices": [0.0, 0.1]}, {"name": "data.colour", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}, {"name": "data.min_area", "when": {}, "type": "choice", "choices": [0.6, 1.0]}, {"name": "data.blank", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}]}, "starts": [], "warm_start": null, "objectives": ["accuracy"], "constraints": [], "trials": 4, "timeout": null, "search": "trials", "sampler": "tpe", "pruner": "median", "eta": 3, "first_rung": null, "seed": 0, "heartbeat": 10.0}'),
	(21, 4, 'started', '1796027780.205'),
	(22, 5, 'venation:uid', '"30db8d420f954e83ba2b9885eb765ec9"'),
	(23, 5, 'created', '"2026-11-30T08:36:44.393981+00:00"'),
	(24, 5, 'venation:spec', '{"kind": "classifier", "data": "/data/leaves", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": null, "preset": "default", "config": {"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "train.lr", "when": {}, "low": 0.0003, "high": 0.01, "log": true, "type": "float"}, {"name": "train.weight_decay", "when": {}, "low": 0.001, "high": 0.2, "log": true, "type": "float"}, {"name": "gate", "when": {}, "type": "choice", "choices": ["none", "mean", "meanmax"]}, {"name": "train.label_smoothing", "when": {}, "type": "choice", "choices": [0.0, 0.1]}, {"name": "data.colour", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}, {"name": "data.min_area", "when": {}, "type": "choice", "choices": [0.6, 1.0]}, {"name": "data.blank", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}]}, "starts": [], "warm_start": null, "objectives": ["accuracy", "parameters"], "constraints": [{"name": "macs", "relation": "<=", "bound": 1000000000000.0}], "trials": 4, "timeout": null, "search": "trials", "sampler": "tpe", "pruner": "rungs", "eta": 3, "first_rung": null, "seed": 0, "heartbeat": 10.0}'),
	(25, 5, 'started', '1796027810.429'),
	(29, 6, 'venation:uid', '"a13b86b19a6648f8b6392b4e0ab8ec15"'),
	(30, 6, 'created', '"2026-11-30T08:36:56.831868+00:00"'),
	(31, 6, 'venation:spec', '{"kind": "classifier", "data": "/data/leaves2", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": null, "preset": "default", "config": {"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 2, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "train.lr", "when": {}, "low": 0.0003, "high": 0.01, "log": true, "type": "float"}, {"name": "train.weight_decay", "when": {}, "low": 0.001, "high": 0.2, "log": true, "type": "float"}, {"name": "gate", "when": {}, "type": "choice", "choices": ["none", "mean", "meanmax"]}, {"name": "train.label_smoothing", "when": {}, "type": "choice", "choices": [0.0, 0.1]}, {"name": "data.colour", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}, {"name": "data.min_area", "when": {}, "type": "choice", "choices": [0.6, 1.0]}, {"name": "data.blank", "when": {}, "type": "choice", "choices": [0.0, 0.1, 0.3]}]}, "starts": [], "warm_start": null, "objectives": ["accuracy"], "constraints": [], "trials": 2, "timeout": null, "search": "trials", "sampler": "tpe", "pruner": "median", "eta": 3, "first_rung": null, "seed": 0, "heartbeat": 10.0}'),
	(32, 7, 'venation:uid', '"913778d3187c4c63b71e0112312e20b9"'),
	(33, 7, 'created', '"2026-11-30T08:38:20.103081+00:00"'),
	(34, 7, 'venation:spec', '{"kind": "decoder", "data": "/data/leaves", "fingerprint": "2bb813ddb1916bfda0b17e69e0287ce298b6f2a894400e71f38d97ade6ca0403", "split": {"seed": 0, "val": 0.2, "test": 0.2}, "classes": ["cultivar_00", "cultivar_01", "cultivar_02"], "base": "done", "preset": "mnsa", "config": {"encoder": {"name": "densenet161", "weights": "pretrained", "frozen_children": 8, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "mnsa", "widths": {"deform3": 0.25, "deform5": 0.25, "atrous2": 0.25, "atrous3": 0.25, "meanmax": 0.25}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 8, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 448, "zoom": 1.0, "fit": "crop", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.0, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 1, "batch_size": 4, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0005, "schedule": "cosine", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}, "space": {"dimensions": [{"name": "decoder.widths.deform3", "when": {}, "type": "choice", "choices": [0.0625, 0.125, 0.25]}, {"name": "decoder.widths.deform5", "when": {}, "type": "choice", "choices": [0.0625, 0.125, 0.25]}, {"name": "decoder.widths.atrous2", "when": {}, "type": "choice", "choices": [0.0625, 0.125, 0.25]}, {"name": "decoder.widths.atrous3", "when": {}, "type": "choice", "choices": [0.0625, 0.125, 0.25]}, {"name": "decoder.widths.meanmax", "when": {}, "type": "choice", "choices": [0.0625, 0.125, 0.25]}]}, "starts": [{"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.125, "decoder.widths.atrous2": 0.125, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.125}, {"decoder.widths.deform3": 0.0625, "decoder.widths.deform5": 0.0625, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.0625, "decoder.widths.meanmax": 0.0625}, {"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.25, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.125}, {"decoder.widths.deform3": 0.25, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.0625}], "warm_start": null, "objectives": ["iou"], "constraints": [], "trials": 6, "timeout": null, "search": "oneshot", "sampler": "tpe", "pruner": "median", "eta": 3, "first_rung": null, "seed": 0, "heartbeat": 10.0}'),
	(35, 7, 'venation:base', '0'),
	(36, 7, 'started', '1796027906.882'),
	(37, 7, 'oneshot', '{"objective": "iou", "ranked": 243, "top": [{"rank": 1, "value": 0.22196752626552055, "parameters": 44890, "params": {"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.125, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.25, "decoder.widths.meanmax": 0.0625}}], "started": [{"rank": 71, "value": 0.1677682737169518, "parameters": 45342, "params": {"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.125, "decoder.widths.atrous2": 0.125, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.125}}, {"rank": 80, "value": 0.16347281971059835, "parameters": 12817, "params": {"decoder.widths.deform3": 0.0625, "decoder.widths.deform5": 0.0625, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.0625, "decoder.widths.meanmax": 0.0625}}, {"rank": 86, "value": 0.16234786022771888, "parameters": 46332, "params": {"decoder.widths.deform3": 0.25, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.0625}}, {"rank": 111, "value": 0.15368092169498146, "parameters": 47586, "params": {"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.25, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.125}}, {"rank": 237, "value": 0.09063504823151125, "parameters": 50057, "params": {"decoder.widths.deform3": 0.25, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.25, "decoder.widths.atrous3": 0.25, "decoder.widths.meanmax": 0.25}}], "train_seconds": 0.6610967139999957, "rank_seconds": 5.181086887000049}');


--
-- Data for Name: trial_heartbeats; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trial_heartbeats VALUES
	(1, 1, '2026-11-30 08:36:01.41286'),
	(2, 2, '2026-11-30 08:36:01.85783'),
	(3, 3, '2026-11-30 08:36:02.70682'),
	(4, 6, '2026-11-30 08:36:02.999076'),
	(5, 4, '2026-11-30 08:36:03.243893'),
	(6, 5, '2026-11-30 08:36:09.289965'),
	(7, 7, '2026-11-30 08:36:40.220552'),
	(8, 8, '2026-11-30 08:36:50.428549'),
	(10, 10, '2026-11-30 08:36:51.120512'),
	(9, 9, '2026-11-30 08:36:51.28186'),
	(12, 12, '2026-11-30 08:38:36.904949');


--
-- Data for Name: trial_intermediate_values; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trial_intermediate_values VALUES
	(1, 1, 0, 0.4, 'FINITE'),
	(2, 2, 0, 0.13022618231665525, 'FINITE'),
	(3, 2, 1, 0.5531187695813159, 'FINITE'),
	(4, 2, 2, 0.6072169224388221, 'FINITE'),
	(5, 3, 0, 3.1767900273376233, 'FINITE'),
	(6, 3, 1, 2.855626155449972, 'FINITE'),
	(7, 3, 2, 0.054706377344893246, 'FINITE'),
	(8, 3, 3, 0.14633792370475432, 'FINITE'),
	(9, 3, 4, 0.003747323122192326, 'FINITE'),
	(10, 6, 0, 0.00020846362309776944, 'FINITE'),
	(11, 4, 0, 0.9699540121055691, 'FINITE'),
	(12, 4, 1, 1.0002833111137297, 'FINITE'),
	(13, 4, 2, 1.1867789614219324, 'FINITE'),
	(14, 4, 3, 1.132546271962446, 'FINITE'),
	(15, 4, 4, 1.1226478053663367, 'FINITE'),
	(16, 5, 0, 1.7148921872820446, 'FINITE'),
	(17, 5, 1, 1.806804988208183, 'FINITE'),
	(18, 5, 2, 0.21941433046282616, 'FINITE'),
	(19, 5, 3, 0.2190073443371124, 'FINITE'),
	(20, 5, 4, 0.2842840297627847, 'FINITE'),
	(21, 7, 0, 0.4, 'FINITE'),
	(22, 7, 1, 0.4, 'FINITE'),
	(23, 7, 2, 0.4, 'FINITE'),
	(24, 7, 3, 0.4, 'FINITE'),
	(25, 7, 4, 0.4, 'FINITE'),
	(26, 7, 5, 0.4, 'FINITE'),
	(27, 7, 6, 0.4, 'FINITE'),
	(28, 7, 7, 0.4, 'FINITE'),
	(29, 7, 8, 0.4, 'FINITE'),
	(30, 7, 9, 0.4, 'FINITE'),
	(31, 7, 10, 0.4, 'FINITE'),
	(32, 7, 11, 0.4, 'FINITE'),
	(33, 7, 12, 0.4, 'FINITE'),
	(34, 7, 13, 0.6, 'FINITE'),
	(35, 7, 14, 0.6, 'FINITE'),
	(36, 7, 15, 0.6, 'FINITE'),
	(37, 7, 16, 0.6, 'FINITE'),
	(38, 7, 17, 0.6, 'FINITE'),
	(39, 7, 18, 0.6, 'FINITE'),
	(40, 7, 19, 0.6, 'FINITE'),
	(41, 7, 20, 0.4, 'FINITE'),
	(42, 7, 21, 0.4, 'FINITE'),
	(43, 7, 22, 0.4, 'FINITE'),
	(44, 7, 23, 0.4, 'FINITE'),
	(45, 7, 24, 0.4, 'FINITE'),
	(46, 7, 25, 0.4, 'FINITE'),
	(47, 7, 26, 0.4, 'FINITE'),
	(48, 7, 27, 0.6, 'FINITE'),
	(49, 7, 28, 0.6, 'FINITE'),
	(50, 7, 29, 0.6, 'FINITE'),
	(51, 7, 30, 0.6, 'FINITE'),
	(52, 7, 31, 0.6, 'FINITE'),
	(53, 7, 32, 0.6, 'FINITE'),
	(54, 7, 33, 0.6, 'FINITE'),
	(55, 7, 34, 0.6, 'FINITE'),
	(56, 7, 35, 0.6, 'FINITE'),
	(57, 7, 36, 0.6, 'FINITE'),
	(58, 7, 37, 0.6, 'FINITE'),
	(59, 7, 38, 0.4, 'FINITE'),
	(60, 7, 39, 0.4, 'FINITE'),
	(61, 7, 40, 0.4, 'FINITE'),
	(62, 7, 41, 0.4, 'FINITE'),
	(63, 7, 42, 0.6, 'FINITE'),
	(64, 7, 43, 0.6, 'FINITE'),
	(65, 7, 44, 0.6, 'FINITE'),
	(66, 7, 45, 0.6, 'FINITE'),
	(67, 7, 46, 0.6, 'FINITE'),
	(68, 7, 47, 0.6, 'FINITE'),
	(69, 7, 48, 0.4, 'FINITE'),
	(70, 7, 49, 0.4, 'FINITE'),
	(71, 7, 50, 0.4, 'FINITE'),
	(72, 7, 51, 0.6, 'FINITE'),
	(73, 7, 52, 0.6, 'FINITE'),
	(74, 7, 53, 0.6, 'FINITE'),
	(75, 7, 54, 0.6, 'FINITE'),
	(76, 7, 55, 0.6, 'FINITE'),
	(77, 7, 56, 0.6, 'FINITE'),
	(78, 7, 57, 0.6, 'FINITE'),
	(79, 7, 58, 0.6, 'FINITE'),
	(80, 7, 59, 0.4, 'FINITE'),
	(81, 7, 60, 0.4, 'FINITE'),
	(82, 7, 61, 0.4, 'FINITE'),
	(83, 7, 62, 0.6, 'FINITE'),
	(84, 7, 63, 0.6, 'FINITE'),
	(85, 7, 64, 0.4, 'FINITE'),
	(86, 7, 65, 0.2, 'FINITE'),
	(87, 7, 66, 0.2, 'FINITE'),
	(88, 7, 67, 0.2, 'FINITE'),
	(89, 7, 68, 0.2, 'FINITE'),
	(90, 7, 69, 0.2, 'FINITE'),
	(91, 7, 70, 0.2, 'FINITE'),
	(92, 7, 71, 0.4, 'FINITE'),
	(93, 7, 72, 0.4, 'FINITE'),
	(94, 7, 73, 0.4, 'FINITE'),
	(95, 7, 74, 0.6, 'FINITE'),
	(96, 7, 75, 0.8, 'FINITE'),
	(97, 7, 76, 0.8, 'FINITE'),
	(98, 7, 77, 0.8, 'FINITE'),
	(99, 7, 78, 0.8, 'FINITE'),
	(100, 7, 79, 0.8, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES
	(101, 7, 80, 0.8, 'FINITE'),
	(102, 7, 81, 0.8, 'FINITE'),
	(103, 7, 82, 1, 'FINITE'),
	(104, 7, 83, 0.8, 'FINITE'),
	(105, 7, 84, 0.6, 'FINITE'),
	(106, 7, 85, 0.6, 'FINITE'),
	(107, 7, 86, 0.6, 'FINITE'),
	(108, 7, 87, 0.6, 'FINITE'),
	(109, 7, 88, 0.6, 'FINITE'),
	(110, 7, 89, 0.6, 'FINITE'),
	(111, 7, 90, 0.6, 'FINITE'),
	(112, 7, 91, 0.6, 'FINITE'),
	(113, 7, 92, 0.6, 'FINITE'),
	(114, 7, 93, 0.6, 'FINITE'),
	(115, 7, 94, 0.6, 'FINITE'),
	(116, 7, 95, 0.6, 'FINITE'),
	(117, 7, 96, 0.6, 'FINITE'),
	(118, 7, 97, 0.8, 'FINITE'),
	(119, 7, 98, 0.8, 'FINITE'),
	(120, 7, 99, 0.6, 'FINITE'),
	(121, 7, 100, 0.6, 'FINITE'),
	(122, 7, 101, 0.6, 'FINITE'),
	(123, 7, 102, 0.6, 'FINITE'),
	(124, 7, 103, 0.6, 'FINITE'),
	(125, 7, 104, 0.6, 'FINITE'),
	(126, 7, 105, 0.8, 'FINITE'),
	(127, 7, 106, 0.8, 'FINITE'),
	(128, 7, 107, 0.8, 'FINITE'),
	(129, 7, 108, 0.8, 'FINITE'),
	(130, 7, 109, 0.8, 'FINITE'),
	(131, 7, 110, 0.8, 'FINITE'),
	(132, 7, 111, 0.6, 'FINITE'),
	(133, 7, 112, 0.4, 'FINITE'),
	(134, 7, 113, 0.4, 'FINITE'),
	(135, 7, 114, 0.4, 'FINITE'),
	(136, 7, 115, 0.4, 'FINITE'),
	(137, 7, 116, 0.4, 'FINITE'),
	(138, 7, 117, 0.6, 'FINITE'),
	(139, 7, 118, 0.6, 'FINITE'),
	(140, 7, 119, 0.6, 'FINITE'),
	(141, 7, 120, 0.8, 'FINITE'),
	(142, 7, 121, 0.4, 'FINITE'),
	(143, 7, 122, 0.4, 'FINITE'),
	(144, 7, 123, 0.4, 'FINITE'),
	(145, 7, 124, 0.4, 'FINITE'),
	(146, 7, 125, 0.8, 'FINITE'),
	(147, 7, 126, 0.8, 'FINITE'),
	(148, 7, 127, 0.8, 'FINITE'),
	(149, 7, 128, 0.8, 'FINITE'),
	(150, 7, 129, 0.6, 'FINITE'),
	(151, 7, 130, 0.6, 'FINITE'),
	(152, 7, 131, 0.6, 'FINITE'),
	(153, 7, 132, 0.8, 'FINITE'),
	(154, 7, 133, 0.8, 'FINITE'),
	(155, 7, 134, 0.8, 'FINITE'),
	(156, 7, 135, 0.6, 'FINITE'),
	(157, 7, 136, 0.6, 'FINITE'),
	(158, 7, 137, 0.6, 'FINITE'),
	(159, 7, 138, 0.8, 'FINITE'),
	(160, 7, 139, 0.8, 'FINITE'),
	(161, 7, 140, 0.8, 'FINITE'),
	(162, 7, 141, 0.8, 'FINITE'),
	(163, 7, 142, 0.8, 'FINITE'),
	(164, 7, 143, 0.8, 'FINITE'),
	(165, 7, 144, 0.8, 'FINITE'),
	(166, 7, 145, 0.8, 'FINITE'),
	(167, 7, 146, 0.8, 'FINITE'),
	(168, 7, 147, 0.8, 'FINITE'),
	(169, 7, 148, 0.8, 'FINITE'),
	(170, 7, 149, 0.8, 'FINITE'),
	(171, 7, 150, 0.8, 'FINITE'),
	(172, 7, 151, 1, 'FINITE'),
	(173, 7, 152, 1, 'FINITE'),
	(174, 7, 153, 1, 'FINITE'),
	(175, 7, 154, 1, 'FINITE'),
	(176, 7, 155, 1, 'FINITE'),
	(177, 7, 156, 1, 'FINITE'),
	(178, 7, 157, 1, 'FINITE'),
	(179, 7, 158, 1, 'FINITE'),
	(180, 7, 159, 1, 'FINITE'),
	(181, 7, 160, 1, 'FINITE'),
	(182, 7, 161, 1, 'FINITE'),
	(183, 7, 162, 1, 'FINITE'),
	(184, 7, 163, 1, 'FINITE'),
	(185, 7, 164, 0.8, 'FINITE'),
	(186, 7, 165, 0.8, 'FINITE'),
	(187, 7, 166, 1, 'FINITE'),
	(188, 7, 167, 0.8, 'FINITE'),
	(189, 7, 168, 0.8, 'FINITE'),
	(190, 7, 169, 0.8, 'FINITE'),
	(191, 7, 170, 0.8, 'FINITE'),
	(192, 7, 171, 0.8, 'FINITE'),
	(193, 7, 172, 0.8, 'FINITE'),
	(194, 7, 173, 0.8, 'FINITE'),
	(195, 7, 174, 0.8, 'FINITE'),
	(196, 7, 175, 0.8, 'FINITE'),
	(197, 7, 176, 0.8, 'FINITE'),
	(198, 7, 177, 0.8, 'FINITE'),
	(199, 7, 178, 0.8, 'FINITE'),
	(200, 7, 179, 0.8, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES
	(201, 7, 180, 0.8, 'FINITE'),
	(202, 7, 181, 0.8, 'FINITE'),
	(203, 7, 182, 0.8, 'FINITE'),
	(204, 7, 183, 0.8, 'FINITE'),
	(205, 7, 184, 0.8, 'FINITE'),
	(206, 7, 185, 0.8, 'FINITE'),
	(207, 7, 186, 0.8, 'FINITE'),
	(208, 7, 187, 0.8, 'FINITE'),
	(209, 7, 188, 0.8, 'FINITE'),
	(210, 7, 189, 0.8, 'FINITE'),
	(211, 7, 190, 0.8, 'FINITE'),
	(212, 7, 191, 0.8, 'FINITE'),
	(213, 7, 192, 0.8, 'FINITE'),
	(214, 7, 193, 0.8, 'FINITE'),
	(215, 7, 194, 0.8, 'FINITE'),
	(216, 7, 195, 0.8, 'FINITE'),
	(217, 7, 196, 0.8, 'FINITE'),
	(218, 7, 197, 0.8, 'FINITE'),
	(219, 7, 198, 0.8, 'FINITE'),
	(220, 7, 199, 0.6, 'FINITE'),
	(221, 7, 200, 0.6, 'FINITE'),
	(222, 7, 201, 0.6, 'FINITE'),
	(223, 7, 202, 0.8, 'FINITE'),
	(224, 7, 203, 0.8, 'FINITE'),
	(225, 7, 204, 0.8, 'FINITE'),
	(226, 7, 205, 0.8, 'FINITE'),
	(227, 7, 206, 0.8, 'FINITE'),
	(228, 7, 207, 0.8, 'FINITE'),
	(229, 7, 208, 0.8, 'FINITE'),
	(230, 7, 209, 0.8, 'FINITE'),
	(231, 7, 210, 0.8, 'FINITE'),
	(232, 7, 211, 0.8, 'FINITE'),
	(233, 7, 212, 0.8, 'FINITE'),
	(234, 7, 213, 0.8, 'FINITE'),
	(235, 7, 214, 0.8, 'FINITE'),
	(236, 7, 215, 0.8, 'FINITE'),
	(237, 7, 216, 0.8, 'FINITE'),
	(238, 7, 217, 0.8, 'FINITE'),
	(239, 7, 218, 0.8, 'FINITE'),
	(240, 7, 219, 0.8, 'FINITE'),
	(241, 7, 220, 0.8, 'FINITE'),
	(242, 7, 221, 0.8, 'FINITE'),
	(243, 7, 222, 0.8, 'FINITE'),
	(244, 7, 223, 0.8, 'FINITE'),
	(245, 7, 224, 0.8, 'FINITE'),
	(246, 7, 225, 0.8, 'FINITE'),
	(247, 7, 226, 0.8, 'FINITE'),
	(248, 7, 227, 0.8, 'FINITE'),
	(249, 7, 228, 0.8, 'FINITE'),
	(250, 7, 229, 0.8, 'FINITE'),
	(251, 7, 230, 0.8, 'FINITE'),
	(252, 7, 231, 0.8, 'FINITE'),
	(253, 7, 232, 0.8, 'FINITE'),
	(254, 7, 233, 0.8, 'FINITE'),
	(255, 7, 234, 0.8, 'FINITE'),
	(256, 7, 235, 0.8, 'FINITE'),
	(257, 7, 236, 0.8, 'FINITE'),
	(258, 7, 237, 0.8, 'FINITE'),
	(259, 7, 238, 0.8, 'FINITE'),
	(260, 7, 239, 0.8, 'FINITE'),
	(261, 7, 240, 0.8, 'FINITE'),
	(262, 7, 241, 0.8, 'FINITE'),
	(263, 8, 0, 0.4, 'FINITE'),
	(264, 8, 1, 0.4, 'FINITE'),
	(265, 8, 2, 0.2, 'FINITE'),
	(266, 9, 0, 0.4, 'FINITE'),
	(267, 10, 0, 0.4, 'FINITE'),
	(268, 9, 1, 0.4, 'FINITE'),
	(269, 9, 2, 0.4, 'FINITE'),
	(270, 12, 0, 0, 'FINITE');


--
-- Data for Name: trial_params; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trial_params VALUES
	(1, 1, 'train.lr', 0.003, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}'),
	(2, 1, 'train.weight_decay', 0.05, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.2, "log": true}}'),
	(3, 1, 'gate', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "mean", "meanmax"]}}'),
	(4, 1, 'train.label_smoothing', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}'),
	(5, 1, 'data.colour', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(6, 1, 'data.min_area', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.6, 1.0]}}'),
	(7, 1, 'data.blank', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(8, 2, 'decoder.supervise', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}'),
	(9, 2, 'train.dice_weight', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.5, 1.0, 2.0]}}'),
	(10, 2, 'train.lr', 0.004, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}'),
	(11, 3, 'boost.booster', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["logistic", "gblinear", "gbtree", "dart", "head"]}}'),
	(12, 3, 'boost.reg_lambda', 0.01, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 10.0, "log": true}}'),
	(13, 6, 'decoder.supervise', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}'),
	(14, 6, 'train.dice_weight', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.5, 1.0, 2.0]}}'),
	(15, 6, 'train.lr', 0.008605438829022156, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}'),
	(16, 4, 'boost.booster', 4, '{"name": "CategoricalDistribution", "attributes": {"choices": ["logistic", "gblinear", "gbtree", "dart", "head"]}}'),
	(17, 5, 'boost.booster', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["logistic", "gblinear", "gbtree", "dart", "head"]}}'),
	(18, 5, 'boost.reg_lambda', 0.001, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 10.0, "log": true}}'),
	(19, 5, 'boost.reg_alpha', 1e-06, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-08, "high": 0.1, "log": true}}'),
	(20, 5, 'boost.eta', 0.3, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.01, "high": 1.0, "log": true}}'),
	(21, 7, 'train.lr', 0.003, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}'),
	(22, 7, 'train.weight_decay', 0.05, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.2, "log": true}}'),
	(23, 7, 'gate', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "mean", "meanmax"]}}'),
	(24, 7, 'train.label_smoothing', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}'),
	(25, 7, 'data.colour', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(26, 7, 'data.min_area', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.6, 1.0]}}'),
	(27, 7, 'data.blank', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(28, 8, 'train.lr', 0.003, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}'),
	(29, 8, 'train.weight_decay', 0.05, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.2, "log": true}}'),
	(30, 8, 'gate', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "mean", "meanmax"]}}'),
	(31, 8, 'train.label_smoothing', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}'),
	(32, 8, 'data.colour', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(33, 8, 'data.min_area', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.6, 1.0]}}'),
	(34, 8, 'data.blank', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(35, 9, 'train.lr', 0.001017861196681686, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}'),
	(36, 9, 'train.weight_decay', 0.0486902281016243, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.2, "log": true}}'),
	(37, 9, 'gate', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "mean", "meanmax"]}}'),
	(38, 9, 'train.label_smoothing', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}'),
	(39, 9, 'data.colour', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(40, 9, 'data.min_area', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.6, 1.0]}}'),
	(41, 9, 'data.blank', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(42, 10, 'train.lr', 0.00035480379244924966, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0003, "high": 0.01, "log": true}}'),
	(43, 10, 'train.weight_decay', 0.12768572920512003, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.2, "log": true}}'),
	(44, 10, 'gate', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "mean", "meanmax"]}}'),
	(45, 10, 'train.label_smoothing', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}'),
	(46, 10, 'data.colour', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(47, 10, 'data.min_area', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.6, 1.0]}}'),
	(48, 10, 'data.blank', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}'),
	(49, 12, 'decoder.widths.deform3', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0625, 0.125, 0.25]}}'),
	(50, 12, 'decoder.widths.deform5', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0625, 0.125, 0.25]}}'),
	(51, 12, 'decoder.widths.atrous2', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0625, 0.125, 0.25]}}'),
	(52, 12, 'decoder.widths.atrous3', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0625, 0.125, 0.25]}}'),
	(53, 12, 'decoder.widths.meanmax', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0625, 0.125, 0.25]}}');


--
-- Data for Name: trial_system_attributes; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trial_system_attributes VALUES
	(1, 1, 'fixed_params', '{"train.lr": 0.003, "train.weight_decay": 0.05, "gate": "meanmax", "train.label_smoothing": 0.0, "data.colour": 0.0, "data.min_area": 1.0, "data.blank": 0.1}'),
	(2, 2, 'fixed_params', '{"decoder.supervise": false, "train.dice_weight": 1.0, "train.lr": 0.004}'),
	(3, 3, 'fixed_params', '{"boost.booster": "logistic", "boost.reg_lambda": 0.01}'),
	(4, 4, 'fixed_params', '{"boost.booster": "head"}'),
	(5, 5, 'fixed_params', '{"boost.booster": "gblinear", "boost.reg_lambda": 0.001, "boost.reg_alpha": 1e-06, "boost.eta": 0.3}'),
	(6, 1, 'venation:lease', '"fdc24a483c734162a621f2fa103db81f"'),
	(7, 1, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:01.411+00:00"}'),
	(8, 1, 'artifacts:0161aad1323a4199b542c6285cddcb74-0-log-1.jsonl', '"{\"artifact_id\": \"0161aad1323a4199b542c6285cddcb74-0-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027761.4352484}"'),
	(9, 1, 'artifacts:4a805620-5a8f-412e-a9f1-7fc4468fd2a1', '"{\"artifact_id\": \"4a805620-5a8f-412e-a9f1-7fc4468fd2a1\", \"filename\": \"weights.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"93d8034e50978a80b3b8cb91a6c65a64a15ee17ccfcf5da4979dc909af435892\", \"uploaded\": 1796027761.78791}"'),
	(10, 1, 'artifacts:4c97b15e-ddf5-4a52-8c1b-1b14c36b83c2', '"{\"artifact_id\": \"4c97b15e-ddf5-4a52-8c1b-1b14c36b83c2\", \"filename\": \"samples.png\", \"mimetype\": \"image/png\", \"encoding\": null, \"sha256\": \"dad53300126ab7ce549cdf59c712fd3242cc2570e6797af3e29e0a7c64293bcf\", \"uploaded\": 1796027761.790404}"'),
	(11, 1, 'artifacts:92d4a1ba-a104-4ec4-aa08-75ab75de2e33', '"{\"artifact_id\": \"92d4a1ba-a104-4ec4-aa08-75ab75de2e33\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"b6d07e927bdb44eaced8ca7dd7d04deb0cd0d27f89d660a9f9711f8efb196a4b\", \"uploaded\": 1796027761.7914374}"'),
	(12, 2, 'venation:lease', '"2ee06293f64045fb8e97a1354b772b9a"'),
	(13, 2, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:01.857+00:00"}'),
	(14, 2, 'artifacts:554416be6272402ab8f8ad4785f642b6-0-log-1.jsonl', '"{\"artifact_id\": \"554416be6272402ab8f8ad4785f642b6-0-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027761.8699284}"'),
	(15, 2, 'venation:rungs', '1'),
	(16, 2, 'artifacts:a0c91523-b99d-47b0-abd1-9bc07633fc23', '"{\"artifact_id\": \"a0c91523-b99d-47b0-abd1-9bc07633fc23\", \"filename\": \"weights.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"d7144c69c4deff3ce0b7cc7d97e791afaa4a079f39c06a6ee25111abb83bbabc\", \"uploaded\": 1796027762.6634476}"'),
	(17, 2, 'artifacts:3c0fd384-cec8-4440-92ed-2df0d90c0fba', '"{\"artifact_id\": \"3c0fd384-cec8-4440-92ed-2df0d90c0fba\", \"filename\": \"samples.png\", \"mimetype\": \"image/png\", \"encoding\": null, \"sha256\": \"ecae805c7c155eb927047007e9dc8339cdaeeda34e83247be73c23a5f2134b11\", \"uploaded\": 1796027762.6649005}"'),
	(18, 2, 'artifacts:348403a3-a71b-4ab7-bdb1-534c4c9d1340', '"{\"artifact_id\": \"348403a3-a71b-4ab7-bdb1-534c4c9d1340\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"a649e2df9c9cd7f953834a674f3f6db1ef12e7e2a1801c76b5068b2b332b20d1\", \"uploaded\": 1796027762.66589}"'),
	(19, 3, 'venation:lease', '"d41ad78a690b44978b199bfaad162055"'),
	(20, 3, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:02.706+00:00"}'),
	(21, 3, 'artifacts:3c93155f-191a-4da7-8c2e-83bab7c645d0', '"{\"artifact_id\": \"3c93155f-191a-4da7-8c2e-83bab7c645d0\", \"filename\": \"booster.ubj\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"e160a937719059744a6cdb47a40e7a545e1875f960c7461aa52af7b9323ccd59\", \"uploaded\": 1796027762.982288}"'),
	(22, 3, 'artifacts:adf2036a-b8fd-4253-90ab-cf7eeee7ba24', '"{\"artifact_id\": \"adf2036a-b8fd-4253-90ab-cf7eeee7ba24\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"de5a65d9e2bdd97af59bdb9c8f66b183e1e6158736840e4c8b744f9bde964ca9\", \"uploaded\": 1796027762.9831676}"'),
	(23, 6, 'venation:lease', '"57efa2af45d448f49c4d21a13e848cd0"'),
	(24, 6, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:02.998+00:00"}'),
	(25, 6, 'artifacts:554416be6272402ab8f8ad4785f642b6-1-log-1.jsonl', '"{\"artifact_id\": \"554416be6272402ab8f8ad4785f642b6-1-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027763.0135942}"'),
	(26, 6, 'venation:paused', '{"rung": 1, "epochs": 1, "value": 0.00020846362309776944}'),
	(27, 4, 'venation:lease', '"fdac7a5e49c044d9bd44db356d79a38b"'),
	(28, 4, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:03.243+00:00"}'),
	(29, 4, 'artifacts:34c08b62-e901-4c65-9dac-2d793aad781b', '"{\"artifact_id\": \"34c08b62-e901-4c65-9dac-2d793aad781b\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"b6d07e927bdb44eaced8ca7dd7d04deb0cd0d27f89d660a9f9711f8efb196a4b\", \"uploaded\": 1796027763.288429}"'),
	(30, 5, 'venation:lease', '"cabfa13408234c56b3cd74d65fcde179"'),
	(31, 5, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2627, "device": "cpu", "started": "2026-11-30T08:36:09.289+00:00"}'),
	(32, 5, 'artifacts:02b08182-b17c-432d-886d-5e559818a7dc', '"{\"artifact_id\": \"02b08182-b17c-432d-886d-5e559818a7dc\", \"filename\": \"booster.ubj\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"23d0b709382eee6cfcf510cc3f1d82fdbde52430072c3e28cb1cd7c74b3d5c05\", \"uploaded\": 1796027769.4127865}"'),
	(33, 5, 'artifacts:f8234313-4b53-4bb0-a64b-a787e33de5dc', '"{\"artifact_id\": \"f8234313-4b53-4bb0-a64b-a787e33de5dc\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"f3ca0e388316bc2e7f16a335063c660ebb17d810aaa6fa06ffc00609421d111f\", \"uploaded\": 1796027769.41352}"'),
	(34, 7, 'fixed_params', '{"train.lr": 0.003, "train.weight_decay": 0.05, "gate": "meanmax", "train.label_smoothing": 0.0, "data.colour": 0.0, "data.min_area": 1.0, "data.blank": 0.1}'),
	(35, 7, 'venation:lease', '"e469d2e5cea3468fa66727275cd7a507"'),
	(36, 7, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2646, "device": "cpu", "started": "2026-11-30T08:36:20.204+00:00"}'),
	(37, 7, 'artifacts:3cd8435847eb4962a3c031d8e463d6f6-0-log-1.jsonl', '"{\"artifact_id\": \"3cd8435847eb4962a3c031d8e463d6f6-0-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027780.218546}"'),
	(38, 8, 'fixed_params', '{"train.lr": 0.003, "train.weight_decay": 0.05, "gate": "meanmax", "train.label_smoothing": 0.0, "data.colour": 0.0, "data.min_area": 1.0, "data.blank": 0.1}'),
	(39, 8, 'venation:lease', '"0ebbe3eed99046fea201bdc17dbe3869"'),
	(40, 8, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2685, "device": "cpu", "started": "2026-11-30T08:36:50.427+00:00"}'),
	(41, 8, 'artifacts:30db8d420f954e83ba2b9885eb765ec9-0-log-1.jsonl', '"{\"artifact_id\": \"30db8d420f954e83ba2b9885eb765ec9-0-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027810.4442012}"'),
	(42, 8, 'constraints:macs<=1e+12', '-0.999983607512'),
	(43, 8, 'venation:rungs', '1'),
	(44, 8, 'artifacts:4917e353-5453-4f1d-9627-95e90a680f03', '"{\"artifact_id\": \"4917e353-5453-4f1d-9627-95e90a680f03\", \"filename\": \"weights.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"28e53a40853ebc201985e6004bf17f2373d5f6e91f011de99698ece8957e11c7\", \"uploaded\": 1796027810.9232135}"'),
	(45, 8, 'artifacts:d4f69b42-4889-46ba-8588-a162ed38b595', '"{\"artifact_id\": \"d4f69b42-4889-46ba-8588-a162ed38b595\", \"filename\": \"samples.png\", \"mimetype\": \"image/png\", \"encoding\": null, \"sha256\": \"453b0da374742427425ec0d29d162f7a769c166b8d1ef06449852fe7074a923a\", \"uploaded\": 1796027810.9254375}"'),
	(46, 8, 'artifacts:c6f6297a-20bb-4d92-9a3a-3000a9c916ed', '"{\"artifact_id\": \"c6f6297a-20bb-4d92-9a3a-3000a9c916ed\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"ec6a1eb4013c1055b7454a371257daa73f5331788ffbb3e5d47accedcccd9c0f\", \"uploaded\": 1796027810.926372}"'),
	(49, 9, 'artifacts:30db8d420f954e83ba2b9885eb765ec9-1-log-1.jsonl', '"{\"artifact_id\": \"30db8d420f954e83ba2b9885eb765ec9-1-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027810.9538307}"'),
	(51, 9, 'venation:paused', '{"rung": 1, "epochs": 1, "value": 0.4}'),
	(52, 10, 'venation:lease', '"b87006da13a64bd6b02da2bf0c5abf4a"'),
	(53, 10, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2685, "device": "cpu", "started": "2026-11-30T08:36:51.120+00:00"}'),
	(54, 10, 'artifacts:30db8d420f954e83ba2b9885eb765ec9-2-log-1.jsonl', '"{\"artifact_id\": \"30db8d420f954e83ba2b9885eb765ec9-2-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027811.1334085}"'),
	(55, 10, 'constraints:macs<=1e+12', '-0.99998360752'),
	(56, 10, 'venation:paused', '{"rung": 1, "epochs": 1, "value": 0.4}'),
	(57, 9, 'venation:rungs', '1'),
	(47, 9, 'venation:lease', '"c04a17cc208240f3bc39dc22e9aaf7c3"'),
	(48, 9, 'venation:holder', '{"attempt": 2, "host": "workstation", "pid": 2685, "device": "cpu", "started": "2026-11-30T08:36:51.281+00:00"}'),
	(60, 9, 'artifacts:30db8d420f954e83ba2b9885eb765ec9-1-log-2.jsonl', '"{\"artifact_id\": \"30db8d420f954e83ba2b9885eb765ec9-1-log-2.jsonl\", \"filename\": \"log-2.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027811.29283}"'),
	(61, 9, 'constraints:macs<=1e+12', '-0.99998360752'),
	(62, 9, 'artifacts:c3434ee7-afef-43bc-8007-256c51e10d67', '"{\"artifact_id\": \"c3434ee7-afef-43bc-8007-256c51e10d67\", \"filename\": \"weights.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"c6fe2b388e9956bbae1d2a7baca27c5241050a51b67f16405889133311e1cb35\", \"uploaded\": 1796027811.5880275}"'),
	(63, 9, 'artifacts:24c11ec1-4c7d-4554-b5da-68443fa090d0', '"{\"artifact_id\": \"24c11ec1-4c7d-4554-b5da-68443fa090d0\", \"filename\": \"samples.png\", \"mimetype\": \"image/png\", \"encoding\": null, \"sha256\": \"be98310fa483a7b898aede025ef5fc7bce8ae2270fb65c1784930d9c64217465\", \"uploaded\": 1796027811.5903125}"'),
	(64, 9, 'artifacts:30a0f6ea-4b3f-4e2f-85e6-7b2395f9fc3d', '"{\"artifact_id\": \"30a0f6ea-4b3f-4e2f-85e6-7b2395f9fc3d\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"ba760e74ef9e08a1b68339db6d32a7acdefe9ff09628507b7389d510c3dfc33a\", \"uploaded\": 1796027811.5911648}"'),
	(65, 11, 'fixed_params', '{"train.lr": 0.003, "train.weight_decay": 0.05, "gate": "meanmax", "train.label_smoothing": 0.0, "data.colour": 0.0, "data.min_area": 1.0, "data.blank": 0.1}'),
	(66, 12, 'fixed_params', '{"decoder.widths.deform3": 0.25, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.25, "decoder.widths.atrous3": 0.25, "decoder.widths.meanmax": 0.25}'),
	(67, 13, 'fixed_params', '{"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.125, "decoder.widths.atrous2": 0.125, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.125}'),
	(68, 14, 'fixed_params', '{"decoder.widths.deform3": 0.0625, "decoder.widths.deform5": 0.0625, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.0625, "decoder.widths.meanmax": 0.0625}'),
	(69, 15, 'fixed_params', '{"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.25, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.125}'),
	(70, 16, 'fixed_params', '{"decoder.widths.deform3": 0.25, "decoder.widths.deform5": 0.25, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.125, "decoder.widths.meanmax": 0.0625}'),
	(71, 12, 'venation:lease', '"430f18f9d01d4c9690978d96ebabb755"'),
	(72, 12, 'venation:holder', '{"attempt": 1, "host": "workstation", "pid": 2966, "device": "cpu", "started": "2026-11-30T08:38:26.880+00:00"}'),
	(73, 12, 'artifacts:913778d3187c4c63b71e0112312e20b9-0-log-1.jsonl', '"{\"artifact_id\": \"913778d3187c4c63b71e0112312e20b9-0-log-1.jsonl\", \"filename\": \"log-1.jsonl\", \"mimetype\": \"application/jsonl\", \"encoding\": null, \"sha256\": null, \"uploaded\": 1796027906.90491}"'),
	(74, 17, 'fixed_params', '{"decoder.widths.deform3": 0.125, "decoder.widths.deform5": 0.125, "decoder.widths.atrous2": 0.0625, "decoder.widths.atrous3": 0.25, "decoder.widths.meanmax": 0.0625}'),
	(75, 12, 'artifacts:3b4e9e64-52e5-48da-a401-3c3a5ed388f4', '"{\"artifact_id\": \"3b4e9e64-52e5-48da-a401-3c3a5ed388f4\", \"filename\": \"weights.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null, \"sha256\": \"1060dad0e2fa46c38f165f0cdc5354e5910694aae8d07b296d0600bc405fb453\", \"uploaded\": 1796027918.2873902}"'),
	(76, 12, 'artifacts:f2b4a313-2a04-4a97-abab-477381eca8a5', '"{\"artifact_id\": \"f2b4a313-2a04-4a97-abab-477381eca8a5\", \"filename\": \"samples.png\", \"mimetype\": \"image/png\", \"encoding\": null, \"sha256\": \"880dc4edec4b92fa90e4d0dd72f1fa97014df76f583d3bddecfcd71e51f1375c\", \"uploaded\": 1796027918.2947452}"'),
	(77, 12, 'artifacts:77cc13a0-13f7-40cd-a3fe-c366efa4dcc4', '"{\"artifact_id\": \"77cc13a0-13f7-40cd-a3fe-c366efa4dcc4\", \"filename\": \"ranking.csv\", \"mimetype\": \"text/csv\", \"encoding\": null, \"sha256\": \"67526ef3b33da5a66be84d2117ba41e689e979e9f56e762abecef79f3c4c4961\", \"uploaded\": 1796027918.296384}"'),
	(78, 12, 'artifacts:eecc1f5a-023b-4687-a48b-1b04570b54bb', '"{\"artifact_id\": \"eecc1f5a-023b-4687-a48b-1b04570b54bb\", \"filename\": \"ranking.png\", \"mimetype\": \"image/png\", \"encoding\": null, \"sha256\": \"5a7cd92ca99329ce97e2cb2468137e1552a57d7c79ee8f9423163e5044e044d2\", \"uploaded\": 1796027918.2973385}"'),
	(79, 12, 'artifacts:2613af23-dccc-4ce2-88bb-8102bebdec12', '"{\"artifact_id\": \"2613af23-dccc-4ce2-88bb-8102bebdec12\", \"filename\": \"metrics.json\", \"mimetype\": \"application/json\", \"encoding\": null, \"sha256\": \"9dd97aec55c72bc77aa6fbc354d65ee8f61c5572f3d9d1146d131e6a31b1ce07\", \"uploaded\": 1796027918.2980356}"');


--
-- Data for Name: trial_user_attributes; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trial_user_attributes VALUES
	(1, 1, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 1, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(2, 1, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "done", "done-veins", "done-boost", "--max-trials", "4", "--until-idle", "--device", "cpu"]}'),
	(3, 1, 'metrics', '{"accuracy": 0.4, "macro_f1": 0.19047619047619047, "logloss": 1.0824420723940027, "ece": 0.026629817485809327}'),
	(4, 1, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:01.411+00:00", "ended": "2026-11-30T08:36:01.798+00:00", "end": "complete", "epochs": 1}]'),
	(5, 2, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "unet", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 8, "gate_from": 6, "full_size": true, "detail": 16, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 4, "optimizer": "adamw", "lr": 0.004, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 1.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(6, 2, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "done", "done-veins", "done-boost", "--max-trials", "4", "--until-idle", "--device", "cpu"]}'),
	(7, 2, 'metrics', '{"iou": 0.6072169224388221, "dice": 0.7556129032258064, "bce": 0.3319351553916931, "iou_ref": 0.5828481935645977}'),
	(8, 2, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:01.857+00:00", "ended": "2026-11-30T08:36:02.670+00:00", "end": "complete", "epochs": 3}]'),
	(9, 3, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 50, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "logistic", "folds": 5, "rounds": 5, "patience": 30, "eta": 0.3, "reg_lambda": 0.01, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(10, 3, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "done", "done-veins", "done-boost", "--max-trials", "4", "--until-idle", "--device", "cpu"]}'),
	(11, 3, 'metrics', '{"accuracy": 0.6, "macro_f1": 0.48888888888888893, "logloss": 1.2474415613918872, "ece": 0.37816992998123167}'),
	(12, 3, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:02.706+00:00", "ended": "2026-11-30T08:36:02.987+00:00", "end": "complete", "epochs": 5}]'),
	(13, 6, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "unet", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 8, "gate_from": 6, "full_size": true, "detail": 16, "supervise": true}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 4, "optimizer": "adamw", "lr": 0.008605438829022156, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.5, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(14, 6, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "done", "done-veins", "done-boost", "--max-trials", "4", "--until-idle", "--device", "cpu"]}'),
	(15, 4, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 50, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "head", "folds": 5, "rounds": 5, "patience": 30, "eta": 0.3, "reg_lambda": 0.01, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(16, 4, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "done", "done-veins", "done-boost", "--max-trials", "4", "--until-idle", "--device", "cpu"]}'),
	(17, 4, 'metrics', '{"accuracy": 0.4, "macro_f1": 0.19047619047619047, "logloss": 1.0824420723940027, "ece": 0.026629817485809327}'),
	(18, 4, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2593, "device": "cpu", "started": "2026-11-30T08:36:03.243+00:00", "ended": "2026-11-30T08:36:03.292+00:00", "end": "complete", "epochs": 5}]'),
	(19, 5, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 50, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 5, "rounds": 5, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(20, 5, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "done-boost", "--max-trials", "1", "--device", "cpu"]}'),
	(21, 5, 'metrics', '{"accuracy": 0.6, "macro_f1": 0.48888888888888893, "logloss": 0.8488805760105901, "ece": 0.3703081846237183}'),
	(22, 5, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2627, "device": "cpu", "started": "2026-11-30T08:36:09.289+00:00", "ended": "2026-11-30T08:36:09.417+00:00", "end": "complete", "epochs": 5}]'),
	(23, 7, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 300, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(24, 7, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "half", "--device", "cpu"]}'),
	(25, 8, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 8, "optimizer": "adamw", "lr": 0.003, "momentum": 0.9, "nesterov": false, "weight_decay": 0.05, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(26, 8, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "several", "--max-trials", "2", "--device", "cpu"]}'),
	(27, 8, 'costs', '{"parameters": 372981, "macs": 16392488}'),
	(28, 8, 'metrics', '{"accuracy": 0.4, "macro_f1": 0.19047619047619047, "logloss": 1.0761668437301728, "ece": 0.02999396324157715}'),
	(29, 8, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2685, "device": "cpu", "started": "2026-11-30T08:36:50.427+00:00", "ended": "2026-11-30T08:36:50.931+00:00", "end": "complete", "epochs": 3}]'),
	(31, 9, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "several", "--max-trials", "2", "--device", "cpu"]}'),
	(32, 9, 'costs', '{"parameters": 372979, "macs": 16392480}'),
	(33, 10, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "none", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 0.6, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.1, "blank": 0.0, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 8, "optimizer": "adamw", "lr": 0.00035480379244924966, "momentum": 0.9, "nesterov": false, "weight_decay": 0.12768572920512003, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.1, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(34, 10, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "several", "--max-trials", "2", "--device", "cpu"]}'),
	(35, 10, 'costs', '{"parameters": 372979, "macs": 16392480}'),
	(30, 9, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "mean", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "none", "widths": {"deform3": 0.125, "deform5": 0.125, "atrous2": 0.125, "atrous3": 0.125, "meanmax": 0.125}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 0, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 0.6, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.1, "blank": 0.0, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 3, "batch_size": 8, "optimizer": "adamw", "lr": 0.001017861196681686, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0486902281016243, "schedule": "onecycle", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.1, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(40, 9, 'metrics', '{"accuracy": 0.4, "macro_f1": 0.19047619047619047, "logloss": 1.0937878064902535, "ece": 0.04945792555809021}'),
	(36, 9, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2685, "device": "cpu", "started": "2026-11-30T08:36:50.941+00:00", "ended": "2026-11-30T08:36:51.281+00:00", "end": "paused at a rung", "epochs": 1}, {"attempt": 2, "host": "workstation", "pid": 2685, "device": "cpu", "started": "2026-11-30T08:36:51.281+00:00", "ended": "2026-11-30T08:36:51.596+00:00", "end": "complete", "epochs": 3}]'),
	(42, 12, 'config', '{"encoder": {"name": "test_resnet", "weights": "none", "frozen_children": 0, "frozen_bn_eval": true, "frozen": false, "taps": "levels"}, "gate": "meanmax", "plugin": {"width": 0, "keep": [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 0.2222222222222222], "bottom_up": false, "rule": "own", "joint": 32, "positions": "auto", "pass_equal": true, "ranks": "learned", "dropout": 0.1}, "decoder": {"kind": "mnsa", "widths": {"deform3": 0.25, "deform5": 0.25, "atrous2": 0.25, "atrous3": 0.25, "meanmax": 0.25}, "levels": {"level1": 1.0, "level2": 1.0, "level3": 1.0, "level4": 1.0, "level5": 1.0}, "deform_kernel": 5, "dilation": 3, "transfer": 0.25, "channels": 8, "gate_from": 6, "full_size": false, "detail": 0, "supervise": false}, "data": {"size": 64, "zoom": 1.0, "fit": "squash", "min_area": 1.0, "hflip": 0.5, "vflip": 0.0, "rotate": 0.0, "colour": 0.0, "blank": 0.1, "erase": 0.0, "blur": 0.0, "sharpen": 0.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "train": {"epochs": 1, "batch_size": 4, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0005, "schedule": "cosine", "warmup": 0.1, "warmup_steps": 0, "accumulate": 1, "micro_batch": 0, "label_smoothing": 0.0, "mask_weight": 0.0, "dice_weight": 0.0, "side_weights": [0.95, 0.025, 0.0125, 0.00625, 0.003125], "plugin": {"stage": 0.5, "selected": 0.0, "dropped": 5.0, "combined": 1.0, "refine": 0.0, "refine_mean": "elements", "refine_scaled": false, "temperature": 64.0, "temperature_epochs": 10}, "precision": "auto", "seed": 0}, "boost": {"booster": "gblinear", "folds": 0, "rounds": 100, "patience": 30, "eta": 0.3, "reg_lambda": 0.001, "reg_alpha": 1e-06, "max_depth": 4, "subsample": 1.0, "colsample": 1.0, "drop": 0.1, "seed": 0}}'),
	(43, 12, 'provenance', '{"versions": {"venation": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31", "optuna": "5.0.0", "xgboost": "3.2.0", "numpy": "2.4.6", "scikit-learn": "1.9.1", "onnx": "1.23.2"}, "python": "3.11.7", "platform": "Linux-6.18.44-fc-v595-x86_64-with-glibc2.36", "hostname": "workstation", "device": "cpu x86_64", "commit": null, "dirty": false, "command": ["venation", "worker", "shot", "--max-trials", "1", "--device", "cpu"]}'),
	(44, 12, 'metrics', '{"iou": 0.0, "iou_cells": 0.0, "dice": 0.0, "bce": 0.6793562650680542, "iou_ref": 2.3087172027622455e-12}'),
	(45, 12, 'history', '[{"attempt": 1, "host": "workstation", "pid": 2966, "device": "cpu", "started": "2026-11-30T08:38:26.880+00:00", "ended": "2026-11-30T08:38:38.304+00:00", "end": "complete", "epochs": 1}]');


--
-- Data for Name: trial_values; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trial_values VALUES
	(1, 1, 0, 0.4, 'FINITE'),
	(2, 2, 0, 0.6072169224388221, 'FINITE'),
	(3, 3, 0, 1.2474415613918872, 'FINITE'),
	(4, 4, 0, 1.0824420723940027, 'FINITE'),
	(5, 5, 0, 0.8488805760105901, 'FINITE'),
	(6, 8, 0, 0.4, 'FINITE'),
	(7, 8, 1, 372981, 'FINITE'),
	(8, 9, 0, 0.4, 'FINITE'),
	(9, 9, 1, 372979, 'FINITE'),
	(10, 12, 0, 0, 'FINITE');


--
-- Data for Name: trials; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trials VALUES
	(1, 0, 1, 'COMPLETE', '2026-11-30 08:36:01.412756', '2026-11-30 08:36:01.794638'),
	(2, 0, 2, 'COMPLETE', '2026-11-30 08:36:01.857807', '2026-11-30 08:36:02.667904'),
	(3, 0, 3, 'COMPLETE', '2026-11-30 08:36:02.706799', '2026-11-30 08:36:02.98528'),
	(6, 1, 2, 'WAITING', '2026-11-30 08:36:02.999019', NULL),
	(4, 1, 3, 'COMPLETE', '2026-11-30 08:36:03.243864', '2026-11-30 08:36:03.290454'),
	(5, 2, 3, 'COMPLETE', '2026-11-30 08:36:09.289882', '2026-11-30 08:36:09.41521'),
	(7, 0, 4, 'RUNNING', '2026-11-30 08:36:20.204718', NULL),
	(8, 0, 5, 'COMPLETE', '2026-11-30 08:36:50.428492', '2026-11-30 08:36:50.929378'),
	(10, 2, 5, 'WAITING', '2026-11-30 08:36:51.120491', NULL),
	(9, 1, 5, 'COMPLETE', '2026-11-30 08:36:51.281828', '2026-11-30 08:36:51.593692'),
	(11, 0, 6, 'WAITING', NULL, NULL),
	(13, 1, 7, 'WAITING', NULL, NULL),
	(14, 2, 7, 'WAITING', NULL, NULL),
	(15, 3, 7, 'WAITING', NULL, NULL),
	(16, 4, 7, 'WAITING', NULL, NULL),
	(17, 5, 7, 'WAITING', NULL, NULL),
	(12, 0, 7, 'COMPLETE', '2026-11-30 08:38:26.88102', '2026-11-30 08:38:38.300834');


--
-- Data for Name: version_info; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.version_info VALUES
	(1, 12, '5.0.0');


--
-- Name: studies_study_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.studies_study_id_seq', 7, true);


--
-- Name: study_directions_study_direction_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.study_directions_study_direction_id_seq', 8, true);


--
-- Name: study_system_attributes_study_system_attribute_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.study_system_attributes_study_system_attribute_id_seq', 16, true);


--
-- Name: study_user_attributes_study_user_attribute_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.study_user_attributes_study_user_attribute_id_seq', 37, true);


--
-- Name: trial_heartbeats_trial_heartbeat_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trial_heartbeats_trial_heartbeat_id_seq', 12, true);


--
-- Name: trial_intermediate_values_trial_intermediate_value_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trial_intermediate_values_trial_intermediate_value_id_seq', 270, true);


--
-- Name: trial_params_param_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trial_params_param_id_seq', 53, true);


--
-- Name: trial_system_attributes_trial_system_attribute_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trial_system_attributes_trial_system_attribute_id_seq', 79, true);


--
-- Name: trial_user_attributes_trial_user_attribute_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trial_user_attributes_trial_user_attribute_id_seq', 45, true);


--
-- Name: trial_values_trial_value_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trial_values_trial_value_id_seq', 10, true);


--
-- Name: trials_trial_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.trials_trial_id_seq', 17, true);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: studies studies_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.studies
    ADD CONSTRAINT studies_pkey PRIMARY KEY (study_id);


--
-- Name: study_directions study_directions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_pkey PRIMARY KEY (study_direction_id);


--
-- Name: study_directions study_directions_study_id_objective_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_objective_key UNIQUE (study_id, objective);


--
-- Name: study_system_attributes study_system_attributes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_pkey PRIMARY KEY (study_system_attribute_id);


--
-- Name: study_system_attributes study_system_attributes_study_id_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_key_key UNIQUE (study_id, key);


--
-- Name: study_user_attributes study_user_attributes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_pkey PRIMARY KEY (study_user_attribute_id);


--
-- Name: study_user_attributes study_user_attributes_study_id_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_key_key UNIQUE (study_id, key);


--
-- Name: trial_heartbeats trial_heartbeats_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_pkey PRIMARY KEY (trial_heartbeat_id);


--
-- Name: trial_heartbeats trial_heartbeats_trial_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_key UNIQUE (trial_id);


--
-- Name: trial_intermediate_values trial_intermediate_values_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_pkey PRIMARY KEY (trial_intermediate_value_id);


--
-- Name: trial_intermediate_values trial_intermediate_values_trial_id_step_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_step_key UNIQUE (trial_id, step);


--
-- Name: trial_params trial_params_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_pkey PRIMARY KEY (param_id);


--
-- Name: trial_params trial_params_trial_id_param_name_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_param_name_key UNIQUE (trial_id, param_name);


--
-- Name: trial_system_attributes trial_system_attributes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_pkey PRIMARY KEY (trial_system_attribute_id);


--
-- Name: trial_system_attributes trial_system_attributes_trial_id_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_key_key UNIQUE (trial_id, key);


--
-- Name: trial_user_attributes trial_user_attributes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_pkey PRIMARY KEY (trial_user_attribute_id);


--
-- Name: trial_user_attributes trial_user_attributes_trial_id_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_key_key UNIQUE (trial_id, key);


--
-- Name: trial_values trial_values_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_pkey PRIMARY KEY (trial_value_id);


--
-- Name: trial_values trial_values_trial_id_objective_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_objective_key UNIQUE (trial_id, objective);


--
-- Name: trials trials_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_pkey PRIMARY KEY (trial_id);


--
-- Name: version_info version_info_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.version_info
    ADD CONSTRAINT version_info_pkey PRIMARY KEY (version_info_id);


--
-- Name: ix_studies_study_name; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX ix_studies_study_name ON public.studies USING btree (study_name);


--
-- Name: ix_trials_study_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_trials_study_id ON public.trials USING btree (study_id);


--
-- Name: study_directions study_directions_study_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);


--
-- Name: study_system_attributes study_system_attributes_study_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);


--
-- Name: study_user_attributes study_user_attributes_study_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);


--
-- Name: trial_heartbeats trial_heartbeats_trial_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);


--
-- Name: trial_intermediate_values trial_intermediate_values_trial_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);


--
-- Name: trial_params trial_params_trial_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);


--
-- Name: trial_system_attributes trial_system_attributes_trial_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);


--
-- Name: trial_user_attributes trial_user_attributes_trial_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);


--
-- Name: trial_values trial_values_trial_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);


--
-- Name: trials trials_study_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);


--
-- PostgreSQL database dump complete
--


