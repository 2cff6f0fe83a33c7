/* SPDX-License-Identifier: Apache-2.0 */

/* Each script looks for the form first, since the options that there are and the meaning of a letter depend on it.
 *
 * The script for bash reads the line rather than COMP_WORDS, which readline has cut at each ":" and "=", and takes
 * away what stands before the last of these again in the end, since readline adds it. */

#include "base/completions.h"

#include <stdio.h>
#include <string.h>

typedef void (*print_option)(
	const struct completion_program *program, size_t form, const struct completion *option);

static void print_options(const struct completion_program *program, size_t form, print_option print)
{
	struct completion option;

	for (size_t i = 0; program->option(form, i, &option); i++)
		if (option.name)
			print(program, form, &option);
}

static bool takes_file(const struct completion *option)
{
	return option->argument && strcmp(option->argument, "FILE") == 0;
}

/* Inside of single quotes, for any of the shells; `also` are further characters that get a backslash. */
static void print_quoted(const char *text, const char *also)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\'", stdout);
		else if (*text != '\n' && strchr(also, *text))
			putchar('\\');
		putchar(*text == '\n' ? ' ' : *text);
	}
}

/* Words, with `before` in the place of COMPLETIONS_BEFORE. */
static void print_words(const char *words, const char *before, const char *also)
{
	const char *at = words ? strstr(words, COMPLETIONS_BEFORE) : NULL;

	if (!words)
		return;
	if (!at) {
		print_quoted(words, also);
		return;
	}
	printf("%.*s%s", (int)(at - words), words, before);
	print_quoted(at + strlen(COMPLETIONS_BEFORE), "");
}

/* The names of all forms, with `between` them. */
static void print_forms(const struct completion_program *program, const char *between)
{
	for (const struct completion_form *form = program->forms; form->name; form++)
		printf("%s%s", form == program->forms ? "" : between, form->name);
}

/* bash */

#define BASH_BEFORE "\"${typed[@]:1:${#typed[@]}-2}\""

static void bash_word(
	const struct completion_program *program, size_t form, const struct completion *option)
{
	printf(" --%s", option->name);
}

static void bash_value(
	const struct completion_program *program, size_t form, const struct completion *option)
{
	if (!option->argument)
		return;
	printf("\t\t--%s=", option->name);
	if (!option->is_optional)
		printf(" | --%s", option->name);
	if (!option->is_optional && option->letter)
		printf(" | -%c", option->letter);
	if (takes_file(option)) {
		printf(") files=-f options= words= ;;\n");
		return;
	}
	printf(") words='");
	print_words(option->choices, BASH_BEFORE, "");
	printf("' options=$words ;;\n");
}

static void bash_forms(const struct completion_program *program)
{
	size_t i = 0;

	if (program->forms->name) {
		printf("\tfor word in \"${typed[@]:1:%s}\"; do\n\t\tcase $word in\n\t\t",
			program->is_form_first ? "${#typed[@]}>2" : "${#typed[@]}-2");
		print_forms(program, " | ");
		printf(") form=$word && break ;;\n\t\tesac\n\tdone\n");
	}
	printf("\tcase $form in\n");
	do {
		const struct completion_form *form = &program->forms[i];

		printf("\t%s)\n\t\toptions='", form->name ? form->name : "*");
		print_options(program, i, bash_word);
		printf("'\n\t\twords='");
		print_words(form->words, BASH_BEFORE, "");
		putchar('\'');
		if (!form->name) {
			printf(program->is_form_first ? "\n\t\t[[ ${typed[2]+set} ]] || words+=' "
						      : "\n\t\twords+=' ");
			print_forms(program, " ");
			putchar('\'');
		}
		printf("\n\t\tcase $prev in\n");
		print_options(program, i, bash_value);
		printf("\t\tesac ;;\n");
	} while (program->forms[i++].name);
	printf("\tesac\n");
}

static void print_bash(const struct completion_program *program)
{
	const char *name = program->name;

	printf("# %s, for bash; made by %s --completions bash\n\n_%s()\n{\n"
	       "\tlocal line=${COMP_LINE:0:COMP_POINT} cur prev form= word options words files= "
	       "before= cut=\n"
	       "\tlocal breaks=${COMP_WORDBREAKS//[^:=]/}\n\tlocal -a typed\n\n"
	       "\tread -ra typed <<<\"$line\"\n"
	       "\t[[ $line == *[[:space:]] ]] && typed+=('')\n"
	       "\tword=${typed[-1]} cur=${typed[-1]} prev=${typed[-2]}\n"
	       "\t[[ $breaks && $word == *[$breaks]* ]] && cut=${word%%\"${word##*[$breaks]}\"}\n"
	       "\t[[ $cur == --*=* ]] && prev=${cur%%%%=*}= before=${cur%%%%=*}= cur=${cur#*=}\n",
		name, name, name);
	bash_forms(program);
	printf("\t[[ $cur == -* ]] && words=$options\n"
	       "\tCOMPREPLY=($(compgen $files -W \"$words\" -- \"$cur\"))\n"
	       "\tCOMPREPLY=(\"${COMPREPLY[@]/#/$before}\")\n"
	       "\tCOMPREPLY=(\"${COMPREPLY[@]#\"$cut\"}\")\n"
	       "\t[[ ${COMPREPLY[0]} == *[:=/] ]] && compopt -o nospace 2>/dev/null\n"
	       "\treturn 0\n}\ncomplete -F _%s %s\n",
		name, name);
}

/* zsh */

#define ZSH_BEFORE "\"${(@)words[2,CURRENT-1]}\""

static void zsh_value(const struct completion *option)
{
	if (option->argument)
		printf("%s:%s:", option->is_optional ? ":" : "", option->argument);
	if (takes_file(option))
		fputs("_files", stdout);
	if (option->choices) {
		putchar('(');
		print_words(option->choices, ZSH_BEFORE, ":");
		putchar(')');
	}
	printf("' \\\n");
}

static void zsh_help(const struct completion *option)
{
	putchar('[');
	print_quoted(option->help, "[]:");
	putchar(']');
}

static void zsh_option(
	const struct completion_program *program, size_t form, const struct completion *option)
{
	if (option->letter && !option->is_optional) {
		printf("\t\t\t'(-%c --%s)'{-%c,--%s%s}'", option->letter, option->name,
			option->letter, option->name, option->argument ? "=" : "");
	} else {
		if (option->letter) {
			printf("\t\t\t'-%c", option->letter);
			zsh_help(option);
			printf("' \\\n");
		}
		printf("\t\t\t'--%s%s", option->name,
			option->is_optional        ? "=-"
				: option->argument ? "="
						   : "");
	}
	zsh_help(option);
	zsh_value(option);
}

static void zsh_form(const struct completion_program *program, size_t i)
{
	const struct completion_form *form = &program->forms[i];

	printf("\t%s)\n\t\t_arguments -S \\\n", form->name ? form->name : "*");
	print_options(program, i, zsh_option);
	if (form->name) {
		printf("\t\t\t'*:word:(");
	} else {
		printf("\t\t\t'1:word:(");
		print_forms(program, " ");
		putchar(' ');
	}
	print_words(form->words, ZSH_BEFORE, ":");
	printf(")'\n\t\t;;\n");
}

static void print_zsh(const struct completion_program *program)
{
	size_t i = 0;

	printf("#compdef %s\n# made by %s --completions zsh\n\n_%s()\n{\n\tlocal form word\n\n",
		program->name, program->name, program->name);
	if (program->forms->name) {
		printf("\tfor word in ${words[2,CURRENT-1]}; do\n\t\tcase $word in\n\t\t(");
		print_forms(program, " | ");
		printf(") form=$word && break ;;\n\t\t%sesac\n\tdone\n",
			program->is_form_first ? "(*) break ;;\n\t\t" : "");
	}
	printf("\tcase $form in\n");
	do
		zsh_form(program, i);
	while (program->forms[i++].name);
	printf("\tesac\n}\n\n_%s \"$@\"\n", program->name);
}

/* fish */

#define FISH_BEFORE "(commandline -opc)[2..-1]"

/* The condition under which what belongs to the form is completed. */
static void fish_begin(const struct completion_program *program, size_t i)
{
	const struct completion_form *form = &program->forms[i];

	printf("complete -c %s", program->name);
	if (form->name)
		printf(" -n '__fish_seen_subcommand_from %s'", form->name);
	else if (program->forms->name)
		printf(" -n __%s_has_no_form", program->name);
}

static void fish_option(
	const struct completion_program *program, size_t form, const struct completion *option)
{
	fish_begin(program, form);
	printf(" -l %s", option->name);
	if (option->letter)
		printf(" -s %c", option->letter);
	if (option->argument && !option->is_optional)
		printf(takes_file(option) ? " -r -F" : " -x");
	if (option->choices) {
		printf(" -a '");
		print_words(option->choices, FISH_BEFORE, "");
		putchar('\'');
	}
	printf(" -d '");
	print_quoted(option->help, "");
	printf("'\n");
}

static void fish_form(const struct completion_program *program, size_t i)
{
	const struct completion_form *form = &program->forms[i];

	if (form->words) {
		fish_begin(program, i);
		printf(" -a '");
		print_words(form->words, FISH_BEFORE, "");
		printf("'\n");
	}
	print_options(program, i, fish_option);
	if (!form->name)
		return;
	if (program->is_form_first)
		printf("complete -c %s -n __fish_is_first_token", program->name);
	else
		printf("complete -c %s -n __%s_has_no_form", program->name, program->name);
	printf(" -a %s -d '", form->name);
	print_quoted(form->summary, "");
	printf("'\n");
}

static void print_fish(const struct completion_program *program)
{
	size_t i = 0;

	printf("# %s, for fish; made by %s --completions fish\n\n", program->name, program->name);
	if (program->forms->name) {
		printf("function __%s_has_no_form\n\tnot __fish_seen_subcommand_from ",
			program->name);
		print_forms(program, " ");
		printf("\nend\n\n");
	}
	printf("complete -c %s -f\n", program->name);
	do
		fish_form(program, i);
	while (program->forms[i++].name);
}

static const struct {
	const char *name;
	void (*print)(const struct completion_program *program);
} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

#define N_SHELLS (sizeof(shells) / sizeof(shells[0]))

bool completions_has_shell(const char *shell)
{
	for (size_t i = 0; i < N_SHELLS; i++)
		if (strcmp(shells[i].name, shell) == 0)
			return true;
	return false;
}

void completions_print(const struct completion_program *program, const char *shell)
{
	for (size_t i = 0; i < N_SHELLS; i++)
		if (strcmp(shells[i].name, shell) == 0)
			shells[i].print(program);
}
